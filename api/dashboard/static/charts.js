// Draws each [data-chart] with plotly from the JSON beside it, in the colours of the page, and again when these change.
"use strict";

(() => {
  const style = () => getComputedStyle(document.documentElement);

  // "--accent" is the name of a colour of the page.
  function coloured(value, css) {
    if (typeof value === "string") return value.startsWith("--") ? css.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((one) => coloured(one, css));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, coloured(one, css)]));
    }
    return value;
  }

  function axis(own, css) {
    const ink = css.getPropertyValue("--muted").trim();
    const grid = css.getPropertyValue("--grid").trim();
    return {
      gridcolor: grid, linecolor: grid, zeroline: false, tickfont: { color: ink, size: 12 }, automargin: true,
      fixedrange: true, ...own, tickangle: 0, title: { font: { color: ink, size: 12 }, standoff: 12, ...(own.title || {}) },
    };
  }

  // On a phone every other of the ticks that were chosen has room.
  function thinned(own, narrow) {
    if (!narrow || !own.tickvals || own.tickvals.length < 5) return own;
    const kept = (_, place) => place % 2 === 0;
    return { ...own, tickvals: own.tickvals.filter(kept), ticktext: own.ticktext.filter(kept) };
  }

  function layout(own, css, narrow) {
    const paper = css.getPropertyValue("--paper").trim();
    return {
      ...own, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false,
      font: { family: getComputedStyle(document.body).fontFamily, color: css.getPropertyValue("--ink").trim(), size: 13 },
      margin: { l: 48, r: 8, t: 12, b: 40, ...(own.margin || {}) },
      xaxis: axis({ showgrid: false, nticks: narrow ? 5 : 10, ...thinned(own.xaxis || {}, narrow) }, css), yaxis: axis({ nticks: 6, ...(own.yaxis || {}) }, css),
      legend: { orientation: "h", y: -0.2, yanchor: "top", x: 0, font: { size: 12 }, traceorder: "normal", ...(own.legend || {}) },
      hoverlabel: { bgcolor: paper, bordercolor: css.getPropertyValue("--line").trim(), font: { color: css.getPropertyValue("--ink").trim(), size: 12 } },
    };
  }

  function draw(place) {
    const css = style();
    const chart = coloured(JSON.parse(document.getElementById(`chart-${place.dataset.chart}`).textContent), css);
    const config = { displayModeBar: false, responsive: true, showTips: false };
    return Plotly.react(place, chart.data, layout(chart.layout, css, place.clientWidth < 500), config);
  }

  function drawAll() {
    const places = [...document.querySelectorAll("[data-chart]")];
    return Promise.all(places.map(draw)).then(() => {
      document.documentElement.dataset.drawn = "yes";
      document.dispatchEvent(new Event("drawn"));
    });
  }

  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
