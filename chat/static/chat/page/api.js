/** The JSON API beside the socket. Every failure is an `ApiError` with the one shape that error cards show. */

import { strings } from "./strings.js";

const DEADLINE_MS = 20_000; // of a whole request; a proxy or a network that hangs would let it wait for ever

export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 if there was no answer
   * @param {object} error {message, code?, reference?, actions}
   */
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.error = error;
  }
}

export class Api {
  #prefix;
  #csrfToken;
  #userId;

  /** @param {string} userId whose page it is: what another person's sign-in gets is not shown on it */
  constructor(prefix, csrfToken, userId) {
    this.#prefix = prefix;
    this.#csrfToken = csrfToken;
    this.#userId = userId;
  }

  /** One page of the person's sessions, newest activity first. */
  sessions({ limit = 30, cursor } = {}) {
    return this.#fetch("sessions", { limit, cursor });
  }

  /** A session and its newest messages, or the newest ones before a sequence number; ascending. */
  history(sessionId, { limit = 50, before } = {}) {
    return this.#fetch(`sessions/${encodeURIComponent(sessionId)}`, { limit, before });
  }

  endSession(sessionId) {
    return this.#fetch(`sessions/${encodeURIComponent(sessionId)}/end`, {}, "POST");
  }

  rename(sessionId, title) {
    return this.#fetch(`sessions/${encodeURIComponent(sessionId)}`, {}, "PATCH", { title });
  }

  deleteSession(sessionId) {
    return this.#fetch(`sessions/${encodeURIComponent(sessionId)}`, {}, "DELETE");
  }

  async #fetch(path, parameters, method = "GET", content = undefined) {
    const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value ?? false));
    const headers = { Accept: "application/json" };
    if (method !== "GET") headers["X-CSRFToken"] = this.#csrfToken;
    if (content) headers["Content-Type"] = "application/json";
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), DEADLINE_MS);
    const text = content && JSON.stringify(content);
    const request = { method, headers, credentials: "same-origin", body: text, signal: deadline.signal };
    const unanswered = { message: method === "GET" ? strings.notLoaded : strings.notDone, actions: ["retry"] };
    try {
      const response = await fetch(`${this.#prefix}/${path}?${query}`, request);
      const user = response.headers.get("X-Chat-User");
      if (user !== null && decodeURIComponent(user) !== this.#userId) {
        throw new ApiError(401, { message: strings.signInAgain, actions: actionsOf(401) });
      }
      if (response.ok) return await objectOf(response);
      const body = await objectOf(response).catch(() => ({})); // a proxy's own page
      const told = { ...body, message: body.error ?? strings.notLoaded, actions: actionsOf(response.status) };
      throw new ApiError(response.status, told);
    } catch (failure) {
      throw failure instanceof ApiError ? failure : new ApiError(0, unanswered);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The body, all of it: one that breaks off, or a sign-in page that a proxy put in its place, is no answer. */
async function objectOf(response) {
  const body = await response.json();
  if (typeof body !== "object" || body === null) throw new TypeError("not an object");
  return body;
}

/** The API says what went wrong; what can be done about it follows from the status. */
function actionsOf(status) {
  if (status === 401) return ["sign_in"];
  if (status === 404) return ["new_session"];
  return status >= 500 || status === 429 ? ["retry"] : [];
}
