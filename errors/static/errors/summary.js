/** On a narrow screen the summary begins closed: open, it would push the search box off the first screen. */

if (matchMedia("(max-width: 1023.98px)").matches) document.querySelector(".failure-summary")?.removeAttribute("open");
