"use strict";

// A number in five significant digits, as the rest of the page writes it.
function shown(y) {
  if (y === null) return "none";
  const text = Number(y.toPrecision(5)).toString();
  return /^\d{5,}$/.test(text) ? text.replace(/\B(?=(\d{3})+$)/g, "\u202f") : text;
}

// The place of the number nearest to `x` in a sorted list.
function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

// Shows the values of a chart under the pointer, and those at the place that arrow keys choose.
function follow(plot) {
  const chart = JSON.parse(plot.parentElement.querySelector("script").textContent);
  const curves = chart.curves.filter((curve) => curve.x.length > 0);
  const xs = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const cross = plot.querySelector(".cross"), readout = plot.querySelector(".readout");
  let at = xs.length - 1;
  plot.setAttribute("aria-valuemax", Math.max(at, 0));
  plot.setAttribute("aria-valuenow", Math.max(at, 0));

  function show(place) {
    at = Math.min(Math.max(place, 0), xs.length - 1);
    if (at < 0) return;
    const x = xs[at], share = (x - chart.x[0]) / (chart.x[1] - chart.x[0]);
    const lines = curves.map((curve) => {
      const i = nearest(curve.x, x), away = Math.abs(curve.x[i] - x) > 0.01 * (chart.x[1] - chart.x[0]);
      return [curve.name, shown(curve.y[i]) + (away ? ` (${chart.axis} ${shown(curve.x[i])})` : "")];
    });
    const head = document.createElement("b");
    head.textContent = `${chart.axis} ${shown(x)}`;
    readout.replaceChildren(head, ...lines.map(([name, y]) => {
      const line = document.createElement("div");
      line.textContent = `${name} ${y}`;
      return line;
    }));
    cross.style.left = `${100 * share}%`;
    readout.style.left = share < 0.5 ? `calc(${100 * share}% + 10px)` : "auto";
    readout.style.right = share < 0.5 ? "auto" : `calc(${100 * (1 - share)}% + 10px)`;
    cross.hidden = readout.hidden = false;
    plot.setAttribute("aria-valuenow", at);
    plot.setAttribute("aria-valuetext", `${head.textContent}: ${lines.map((line) => line.join(" ")).join("; ")}`);
  }

  function hide() {
    if (document.activeElement !== plot) cross.hidden = readout.hidden = true;
  }

  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    show(nearest(xs, chart.x[0] + share * (chart.x[1] - chart.x[0])));
  });
  plot.addEventListener("pointerleave", hide);
  plot.addEventListener("blur", hide);
  plot.addEventListener("focus", () => show(at));
  plot.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.round(xs.length / 10));
    const steps = {
      ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
      PageDown: at - page, PageUp: at + page, Home: 0, End: xs.length - 1,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(steps[event.key]);
  });
}

document.querySelectorAll(".plot").forEach(follow);
