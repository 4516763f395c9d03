"use strict";
// Draws the figures that the page carries as JSON, and redraws them for paper.
const { photos, plots, config } = JSON.parse(document.getElementById("data").textContent);
const PAPER = 334, WHOLE = 680; // CSS pixels of half an A4 page between its margins, and of all of it
const elements = [...document.querySelectorAll("[data-plot]")];
const wanted = (layout, width) =>
  layout.meta && layout.meta.aspect ? Math.round(Math.min(width, 520) * layout.meta.aspect + layout.meta.around) : layout.height;

for (const element of elements) {
  const { data, layout } = plots[Number(element.dataset.plot)];
  for (const image of layout.images || []) image.source = photos[image.source];
  layout.height = wanted(layout, element.clientWidth);
  element.style.height = `${layout.height}px`;
  Plotly.newPlot(element, data, layout, config);
}

const slider = (element, visible) =>
  Object.fromEntries(
    (element.layout.annotations || []).flatMap((one, place) => (one.name === "slider" ? [[`annotations[${place}].visible`, visible]] : [])),
  );
addEventListener("beforeprint", () => {
  for (const element of elements) {
    const width = element.classList.contains("wide") ? WHOLE : PAPER;
    const height = wanted(element.layout, width);
    element.style.height = `${height}px`;
    Plotly.relayout(element, { width, height, ...slider(element, false) });
  }
});
addEventListener("afterprint", () => {
  for (const element of elements) {
    const height = wanted(element.layout, element.clientWidth);
    element.style.height = `${height}px`;
    Plotly.relayout(element, { autosize: true, width: null, height, ...slider(element, true) });
  }
});
