"use strict";
(function () {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const still = window.matchMedia("print");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // What the page decides: text, grid and ground, so that charts follow light, dark and paper.
  function dressed(layout, width) {
    const ink = colour("--ink"), line = colour("--line");
    const narrow = width < 560;
    const legend = Object.assign({ orientation: "h", traceorder: "normal" }, layout.legend);
    if (narrow) { Object.assign(legend, { y: -0.28, yanchor: "top", x: 0 }); }
    const found = Object.assign({}, layout, {
      legend: legend,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--accent") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: narrow ? 11 : 13, family: getComputedStyle(document.body).fontFamily },
      margin: { l: narrow ? 48 : 64, r: 14, t: 30, b: narrow ? 46 : 52 },
      colorway: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"],
    });
    for (const key of Object.keys(found)) {
      if (/^[xy]axis\d*$/.test(key)) {
        found[key] = Object.assign({ gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true }, found[key]);
      }
    }
    return found;
  }

  function draw(figure) {
    const plot = figure.querySelector(".plot");
    const content = JSON.parse(figure.querySelector("script.figure").textContent);
    const layout = dressed(content.layout, plot.clientWidth);
    // Below a narrow picture its legend takes a line for each entry.
    const entries = content.data.filter(function (one) { return one.showlegend !== false && one.name; }).length;
    layout.height = content.height + (plot.clientWidth < 560 && entries > 1 ? 60 + 18 * entries : 0);
    const settings = {
      responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    };
    return Plotly.react(plot, content.data, layout, settings).then(function () { figure.dataset.drawn = "yes"; });
  }

  const figures = Array.from(document.querySelectorAll("figure.chart"));
  function drawAll() { figures.forEach(draw); }

  if (figures.length) {
    const seen = new IntersectionObserver(function (entries) {
      for (const entry of entries) {
        if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
      }
    }, { rootMargin: "600px" });
    figures.forEach(function (figure) { seen.observe(figure); });
    dark.addEventListener("change", function () {
      figures.filter(function (figure) { return figure.dataset.drawn; }).forEach(draw);
    });
    window.addEventListener("beforeprint", drawAll);
    still.addEventListener("change", function (event) { if (!event.matches) { drawAll(); } });
  }

  document.querySelectorAll(".command .copy").forEach(function (button) {
    button.addEventListener("click", function () {
      const text = button.parentElement.querySelector("code").textContent;
      const done = function () { button.textContent = "Copied"; };
      if (navigator.clipboard) {
        navigator.clipboard.writeText(text).then(done, function () { selected(button); });
      } else {
        selected(button);
      }
    });
  });

  // A page opened from a file may not write to the clipboard: the line is marked, ready for Ctrl-C.
  function selected(button) {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector("code"));
    const marked = window.getSelection();
    marked.removeAllRanges();
    marked.addRange(range);
    button.textContent = "Marked: press Ctrl-C";
  }
})();
