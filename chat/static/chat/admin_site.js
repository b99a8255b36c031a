/** What the admin's theme leaves out for people with a screen reader: the main landmark, names that differ. */

addEventListener("DOMContentLoaded", () => {
  const main = document.getElementById("main") ?? document.getElementById("page");
  if (!document.querySelector("main")) main?.setAttribute("role", "main");
});

addEventListener("load", () => {
  document.querySelectorAll("[role=region][aria-label='scrollable content']").forEach((region, index) => {
    region.setAttribute("aria-label", `Scrollable content ${index + 1}`);
  });
});
