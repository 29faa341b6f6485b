"use strict";
// Sorting: a click on a column's head; what stands in `data-sort` counts, what is missing goes last. A variant is a body.
const table = document.querySelector("table.main");
table?.querySelectorAll("thead th").forEach((head, column) => {
  head.querySelector("button")?.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (body) => body.rows[0].cells[column].dataset.sort ?? body.rows[0].cells[column].textContent.trim();
    const order = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const difference = a - b;
      const compared = Number.isNaN(difference) ? a.localeCompare(b, undefined, { numeric: true }) : difference;
      return down ? -compared : compared;
    };
    table.append(...[...table.tBodies].sort((a, b) => order(key(a), key(b))));
  });
});
// More of a variant, and all columns.
for (const button of document.querySelectorAll(".opens")) {
  button.addEventListener("click", () => {
    const more = document.getElementById(button.getAttribute("aria-controls"));
    more.hidden = !more.hidden;
    button.setAttribute("aria-expanded", !more.hidden);
  });
}
document.querySelector(".legend .all")?.addEventListener("click", (event) => {
  const whole = table.classList.toggle("whole");
  event.target.setAttribute("aria-pressed", whole);
});

// The variants' switches: a click takes one out of every figure, pointing at it brings it out.
const marks = (series) => document.querySelectorAll(`[data-series="${series}"]:not(.chip)`);
for (const chip of document.querySelectorAll(".chip")) {
  const light = (on) => {
    document.body.classList.toggle("faded", on && chip.getAttribute("aria-pressed") === "true");
    marks(chip.dataset.series).forEach((mark) => mark.classList.toggle("lit", on));
    chip.classList.toggle("lit", on);
  };
  chip.addEventListener("click", () => {
    const on = chip.getAttribute("aria-pressed") !== "true";
    chip.setAttribute("aria-pressed", on);
    marks(chip.dataset.series).forEach((mark) => mark.classList.toggle("off", !on));
    light(on);
  });
  if (matchMedia("(hover: hover)").matches) {
    chip.addEventListener("pointerenter", () => light(true));
    chip.addEventListener("pointerleave", () => light(false));
  }
}

// What a mark says when it is pointed at or touched; without this script the browser shows the same, later.
const tip = document.getElementById("tip");
for (const title of document.querySelectorAll("svg title")) {
  title.parentElement.dataset.tip = title.textContent;
  title.remove();
}
// A map of gradients tells the layer, the steps and the value under the pointer.
const pointed = (event) => {
  const map = event.target.closest?.("image[data-map]");
  if (!map) return "";
  map.told ??= JSON.parse(map.dataset.map);
  map.numbers ??= new DataView(Uint8Array.from(atob(map.told.values), (c) => c.charCodeAt(0)).buffer);
  const { layers, steps, columns } = map.told, box = map.getBoundingClientRect();
  const at = (where, size, count) => Math.max(0, Math.min(count - 1, Math.floor((where / size) * count)));
  const row = at(event.clientY - box.top, box.height, layers.length), column = at(event.clientX - box.left, box.width, columns);
  const first = Math.ceil((column * steps) / columns), last = Math.max(first, Math.ceil(((column + 1) * steps) / columns) - 1);
  const value = map.numbers.getInt16(2 * (row * columns + column), true);
  const ratio = value === -32768 ? "no gradient" : value === -32767 ? "not finite" : `${(10 ** (value / 1000)).toPrecision(2)} × the head's gradient`;
  return `${layers[row]}\n${first === last ? `step ${first}` : `steps ${first} to ${last}`}\n${ratio}`;
};
const show = (event) => {
  const said = event.target.closest?.("[data-tip]")?.dataset.tip || pointed(event);
  tip.hidden = !said;
  if (!said) return;
  tip.textContent = said;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 4))}px`;
  tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18}px`;
};
document.addEventListener("pointermove", show);
document.addEventListener("pointerdown", show);
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true, capture: true });

// A link into the list of runs opens what it leads to.
const open = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", open);
open();
