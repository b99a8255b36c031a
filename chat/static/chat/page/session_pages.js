/** The person's conversations as the API has them: as many as are wanted, however few it gives at a time. */

/**
 * @param {import("./api.js").Api} api
 * @param {object} wanted {limit, cursor: after which one; absent: from the newest on}
 * @returns {Promise<{sessions: object[], next: string|null}>} without `next` there are no more
 */
export async function readSessions(api, { limit, cursor }) {
  const byId = new Map(); // one may move to another page meanwhile
  let next = cursor;
  do {
    const page = await api.sessions({ limit: limit - byId.size, cursor: next });
    for (const session of page.sessions) byId.set(session.session_id, session);
    next = page.has_more ? page.next : null;
  } while (next && byId.size < limit);
  return { sessions: [...byId.values()], next };
}
