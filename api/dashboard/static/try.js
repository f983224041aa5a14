// The risk slider: puts what the server said for each of its stops in its places, and moves the line of each plot.
"use strict";

(() => {
  const stops = JSON.parse(document.getElementById("stops").textContent);
  const slider = document.getElementById("slider");
  const risk = document.getElementById("risk");
  const sbatch = document.getElementById("sbatch");
  const copy = document.getElementById("copy");

  function colours(place, safe) {
    const css = getComputedStyle(document.documentElement);
    const enough = css.getPropertyValue("--accent").trim();
    const tooLittle = css.getPropertyValue("--request").trim();
    return place.data[0].x.map((need) => (need <= safe ? enough : tooLittle));
  }

  function move(name, safe) {
    const place = document.querySelector(`[data-chart="need-${name}"]`);
    if (!place || !place.data) return;
    Plotly.update(place, { "marker.color": [colours(place, safe)] }, { "shapes[0].x0": safe, "shapes[0].x1": safe });
  }

  function show() {
    const stop = stops[Number(slider.value)];
    risk.textContent = stop.text;
    slider.setAttribute("aria-valuetext", stop.text);
    sbatch.textContent = stop.sbatch;
    for (const [name, told] of Object.entries(stop.safe)) {
      for (const place of document.querySelectorAll(`[data-safe="${name}"]`)) {
        place.textContent = told.text;
        if ("value" in place.dataset) place.dataset.value = told.value;
      }
      for (const place of document.querySelectorAll(`[data-own="${name}"]`)) place.textContent = told.own;
      told.ladder.forEach((rung, number) => {
        const place = document.querySelector(`[data-rung="${name}:${number}"]`);
        if (place) place.textContent = rung;
      });
      move(name, told.value);
    }
  }

  async function copied() {
    const text = `${sbatch.textContent}\n`;
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      // Without TLS a browser has no clipboard for pages: selected, the lines are a keystroke away.
      getSelection().selectAllChildren(sbatch);
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  }

  slider.addEventListener("input", show);
  copy.addEventListener("click", copied);
  document.addEventListener("drawn", show);
  if (document.documentElement.dataset.drawn) show();
})();
