/** Outlines of the icons, drawn with a 2 px stroke on a grid of 24. */

export const ICONS = {
  plus: "M12 5v14M5 12h14",
  end: "M4 6h16v4H4zM6 10v9h12v-9M10 14h4",
  close: "M6 6l12 12M18 6L6 18",
  stop: "M6.5 6.5h11v11h-11z",
  down: "M12 5v14M6 13l6 6 6-6",
  sending: "M12 7v5l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  saved: "M5 12.5l4.5 4.5L19 7.5",
  answered: "M2 12.5L6.5 17 15 8M11 16.5l.8.5L21 8",
  failed: "M12 8v5M12 16.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  partial: "M5 8h14M5 12h14M5 16h5M14 16h.01M18 16h.01",
  copy: "M9 9h10v11H9zM6 15H5V4h10v2",
  retry: "M20 11a8 8 0 1 0-2.3 6.4M20 5v6h-6",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  delete: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  forward: "M6 5l8 7-8 7M16 5v14",
  swap: "M4 8h14M14.5 4.5L18 8l-3.5 3.5M20 16H6M9.5 12.5L6 16l3.5 3.5",
  note: "M12 11v5M12 7.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  offline: "M3 3l18 18M8.5 16a5 5 0 0 1 7 0M5 12.5a10 10 0 0 1 5-2.7M14.5 10a10 10 0 0 1 4.5 2.5M12 20v.01",
};
