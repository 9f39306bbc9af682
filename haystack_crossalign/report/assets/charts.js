// Draws the charts of a report with Observable Plot. Every number comes from the page's data; nothing is computed here
// but positions and shades; colors are those of page.css.
"use strict";

const crossalignCharts = (() => {
  const INK = "var(--ink)";
  const MUTED = "var(--muted)";
  const FONT = {fontFamily: "inherit", fontSize: "13px", color: "inherit", background: "transparent", overflow: "visible"};
  // The hue says which language, the strength whether it is relevant.
  const SPLIT_FILL = ["var(--own)", "var(--other)", "var(--own-soft)", "var(--other-soft)"];
  const SPLIT_TEXT = ["var(--on-own)", "var(--on-other)", "var(--on-soft)", "var(--on-soft)"];
  const SERIES = ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"];
  const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // As words.py writes them: as many decimals as it takes to tell two values apart that one query makes, and no more.
  const meanDecimals = (queries) => Math.ceil(Math.log10(Math.max(queries, 1)) - 1e-9);
  const percent = (share, queries) => {
    const value = 100 * share;
    if (value === 0 || value === 100) return `${value} %`;
    let decimals = Math.min(meanDecimals(Math.ceil(queries / 100)), 2);
    while (decimals < 2 && [0, 100].includes(Number(value.toFixed(decimals)))) decimals += 1;
    return `${value.toFixed(decimals)} %`;
  };
  const number = (value, queries) => {
    if (value >= 99.95 || Number.isInteger(value)) return d3.format(",.0f")(value);
    return String(Number(value.toFixed(Math.min(value >= 9.995 ? 1 : 2, meanDecimals(queries)))));
  };
  const ROUGH = 100; // queries of which a percentage has no decimals, where there is little room

  function heat(view, key, width) {
    const cells = view.heat[key].filter((cell) => cell.v !== null);
    const narrow = width < 90 * view.documents.length + 90;
    const tight = narrow && width < 520;
    const query = (place) => tight ? view.queries[place].tag : view.queries[place].name;
    const left = tight ? 44 : 92;
    const column = (width - left) / view.documents.length;
    const fits = ({name}) => !narrow && 6.8 * name.length < column;
    const document_ = (place) => fits(view.documents[place]) ? view.documents[place].name : view.documents[place].tag;
    const many = view.queries.length > 4;
    const height = Math.max(many ? 30 : 64, 34);
    // What lies deep stands out from the page: dark on a light one, bright on a dark one.
    const shade = d3.interpolateLab(css("--shallow"), css("--deep"));
    const scale = d3.scaleSequentialLog(shade).domain([1, Math.max(view.top, 100)]);
    return Plot.plot({
      width, height: 44 + height * view.queries.length, marginLeft: left, marginTop: 40, marginRight: 4, marginBottom: 4, style: FONT,
      x: {domain: view.documents.map((_, d) => d), tickFormat: document_, axis: "top", label: "documents", labelAnchor: "center", tickSize: 0, padding: 0.03},
      y: {domain: view.queries.map((_, q) => q), tickFormat: query, label: null, tickSize: 0, padding: 0.06},
      marks: [
        Plot.cell(cells, {x: "d", y: "q", fill: (cell) => scale(cell.v), rx: 3, title: (cell) => `${view.queries[cell.q].name} queries, ${view.documents[cell.d].name} documents: rank ${cell.t}`}),
        Plot.text(cells, {x: "d", y: "q", text: "t", fontSize: many ? 12 : 20, fontWeight: 600, fill: (cell) => d3.lab(scale(cell.v)).l > 49.5 ? "#000000" : "#ffffff", className: "values"}),
      ],
    });
  }

  function ranks(view, query, width) {
    const strips = view.strips.filter((strip) => strip.q === query);
    const anyLost = strips.some((strip) => strip.lost);
    const domain = anyLost ? [...view.bins, "lost"] : view.bins;
    const bars = strips.flatMap((strip) => [
      ...strip.n.map((n, place) => ({d: strip.d, bin: view.bins[place], n, share: n / strip.total, of: strip.total})),
      ...(anyLost ? [{d: strip.d, bin: "lost", n: strip.lost, share: strip.lost / strip.total, of: strip.total}] : []),
    ]);
    const top = Math.max(...bars.map((bar) => bar.share));
    const few = strips.length <= 4;
    const step = few ? 96 : 46;
    const side = few ? 4 : width > 620 ? 170 : 92;
    const caption = (strip) => few ? `${view.documents[strip.d].version}, median ${strip.median}` : view.documents[strip.d].name;
    const roomy = (width - side) / domain.length > 62;
    // On narrow pages every other label is left out, counted from the deepest bin.
    const dense = (width - side) / domain.length < 30;
    const label = (bin) => dense && bin !== "lost" && (view.bins.length - view.bins.indexOf(bin)) % 2 === 0 ? "" : tick(bin);
    const tick = (bin) => bin === "lost" ? (roomy ? "not in list" : "✕") : roomy ? bin : bin.split("–").pop();
    const fill = (bar) => bar.bin === "lost" ? "url(#hatch)" : view.documents[bar.d].tag === view.queries[query].tag ? "var(--own)" : "var(--other)";
    return Plot.plot({
      width, height: step * strips.length + 52, marginTop: 22, marginBottom: 42, marginLeft: side, marginRight: 4, style: FONT,
      x: {domain, tickFormat: label, label: roomy ? "rank of the relevant version" : "rank, up to", labelAnchor: "center", labelArrow: "none", tickSize: 0, padding: 0.12, type: "band"},
      y: {axis: null, domain: [0, top * (few ? 1.35 : 1.2)]},
      fy: {axis: null, domain: strips.map((strip) => strip.d), padding: few ? 0.18 : 0.12},
      marks: [
        Plot.ruleY([0], {stroke: "var(--line)"}),
        Plot.barY(bars.filter((bar) => bar.n), {x: "bin", y: "share", fy: "d", fill, title: (bar) => `${view.documents[bar.d].version}, ${bar.bin === "lost" ? "not in the list" : `rank ${bar.bin}`}: ${d3.format(",")(bar.n)} queries (${percent(bar.share, bar.of)})`, className: "bars"}),
        few ? Plot.text(bars.filter((bar) => bar.share >= 0.03), {x: "bin", y: "share", fy: "d", text: (bar) => percent(bar.share, ROUGH), dy: -7, fontSize: roomy ? 11 : 9, fill: MUTED}) : null,
        few
          ? Plot.text(strips, {fy: "d", frameAnchor: "top-right", text: caption, fill: INK, fontWeight: 600, fontSize: 12, dy: -6, stroke: "var(--surface)", strokeWidth: 4})
          : Plot.text(strips, {fy: "d", frameAnchor: "bottom-left", textAnchor: "start", dx: -side, dy: -4, text: caption, fill: INK, fontWeight: 600, fontSize: 12.5}),
        !few && side > 100 ? Plot.text(strips, {fy: "d", frameAnchor: "bottom-left", textAnchor: "end", dx: -12, dy: -4, text: (strip) => `median ${strip.median}`, fill: MUTED, fontSize: 12}) : null,
      ],
    });
  }

  function ahead(view, query, width) {
    const bars = view.ahead.filter((bar) => bar.q === query);
    const kinds = ["var(--own)", "var(--other)", "var(--other-soft)"];
    const words = ["in the query's language", "in the version's own language", "in other languages"];
    const parts = bars.flatMap((bar) => bar.v.map((value, kind) => ({d: bar.d, n: bar.n, value, kind})));
    const total = (bar) => bar.v[0] + bar.v[1] + bar.v[2];
    const top = Math.max(...view.ahead.map(total), 1);
    const label = (d) => width < 420 ? view.documents[d].name : view.documents[d].version;
    const left = Math.min(Math.max(130, 16 + 6.8 * Math.max(...bars.map((bar) => label(bar.d).length))), width * 0.55);
    return Plot.plot({
      width, height: 30 * bars.length + 46, marginLeft: left, marginRight: 52, marginTop: 4, marginBottom: 42, style: FONT,
      x: {domain: [0, top], label: "documents in front, mean", labelAnchor: "center", labelArrow: "none", ticks: width < 420 ? 3 : 6, tickSize: 0, nice: true},
      y: {domain: bars.map((bar) => bar.d), tickFormat: label, label: null, tickSize: 0, padding: 0.28},
      marks: [
        Plot.gridX({stroke: "var(--line)", strokeOpacity: 1, ticks: width < 420 ? 3 : 6}),
        Plot.barX(parts.filter((part) => part.value > 0), {x: "value", y: "d", fill: (part) => kinds[part.kind], title: (part) => `In front of the ${view.documents[part.d].version}: ${number(part.value, part.n)} documents ${words[part.kind]}`, insetRight: 0.5}),
        Plot.text(bars, {x: total, y: "d", text: (bar) => number(total(bar), bar.n), dx: 6, textAnchor: "start", fontWeight: 600, fill: INK}),
        Plot.ruleX([0], {stroke: MUTED}),
      ],
    });
  }

  function split(view, rows, width) {
    const lines = rows.map((row) => row.label);
    const names = ["relevant, in the query's language", "relevant, in another language", "not relevant, in the query's language", "not relevant, in another language"];
    const parts = rows.flatMap((row) => row.v.map((value, kind) => ({label: row.label, n: row.n, value, kind, end: d3.sum(row.v.slice(0, kind + 1))})));
    const left = Math.min(width * 0.36, 14 + 7.2 * Math.max(...lines.map((line) => line.length)));
    return Plot.plot({
      width, height: 34 * rows.length + 34, marginLeft: left, marginRight: 26, marginTop: 2, marginBottom: 32, style: FONT,
      x: {domain: [0, 1], tickFormat: (share) => `${Math.round(100 * share)} %`, ticks: width < 420 ? 3 : 5, label: null, tickSize: 0},
      y: {domain: lines, label: null, tickSize: 0, padding: 0.22},
      marks: [
        Plot.barX(parts.filter((part) => part.value > 0), {x1: (part) => part.end - part.value, x2: "end", y: "label", fill: (part) => SPLIT_FILL[part.kind], title: (part) => `${part.label}: ${percent(part.value, part.n)} ${names[part.kind]}`, insetRight: 1, className: "parts"}),
        ...[0, 1, 2, 3].map((kind) => Plot.text(parts.filter((part) => part.kind === kind && part.value * (width - left) > 38), {x: (part) => part.end - part.value / 2, y: "label", text: (part) => percent(part.value, part.n), fill: SPLIT_TEXT[kind], fontSize: 12, fontWeight: 600})),
      ],
    });
  }

  function curve(view, rows, chosen, width) {
    const grid = view.curve.k;
    const place = Math.max(grid.findIndex((k) => k >= view.curve.mark), 0);
    const few = rows.length <= 4;
    const at = (row) => row.v[place];
    const ordered = [...rows].sort((a, b) => at(b) - at(a));
    const bold = few ? ordered : ordered.filter((row) => row.q === chosen || row === ordered[0] || row === ordered.at(-1)).slice(0, 4);
    const points = (row, kind) => row.v.map((share, index) => ({k: grid[index], share, label: row.label, kind}));
    const lines = bold.flatMap((row, kind) => points(row, kind));
    const quiet = few ? [] : ordered.filter((row) => !bold.includes(row)).flatMap((row) => points(row, -1));
    // A rising line leaves the place above and to the left of its point free; labels keep 18 pixels from one another.
    const height = 310;
    const pixel = (share) => 20 + (1 - share) * (height - 72);
    const labels = [];
    for (const [kind, row] of [...bold.entries()].reverse()) {
      const y = Math.min(pixel(at(row)) - 11, (labels.at(-1)?.y ?? Infinity) - 18);
      labels.push({y, kind, k: grid[place], share: at(row), text: `${row.label} ${percent(at(row), row.n)}`});
    }
    return Plot.plot({
      width, height, marginLeft: 48, marginRight: 16, marginTop: 20, marginBottom: 52, style: FONT,
      x: {type: "log", domain: [1, grid.at(-1)], label: "K, how many results are read", labelAnchor: "center", labelArrow: "none", tickFormat: (k) => d3.format(",")(k), ticks: width < 420 ? 3 : 5, tickSize: 0},
      y: {domain: [0, 1], tickFormat: (share) => `${Math.round(100 * share)} %`, ticks: 5, label: null, tickSize: 0},
      marks: [
        Plot.gridY({stroke: "var(--line)", strokeOpacity: 1, ticks: 5}),
        Plot.ruleX([grid[place]], {stroke: MUTED, strokeDasharray: "2 3"}),
        Plot.text([grid[place]], {x: (k) => k, frameAnchor: "top", textAnchor: "start", dx: 6, dy: -12, text: (k) => `K = ${k}`, fill: MUTED, fontSize: 12}),
        Plot.line(quiet, {x: "k", y: "share", z: "label", curve: "step-after", stroke: "var(--strong)", strokeWidth: 1}),
        ...bold.map((_, kind) => Plot.line(lines.filter((point) => point.kind === kind), {x: "k", y: "share", curve: "step-after", stroke: SERIES[kind % 4], strokeWidth: 2.5, strokeDasharray: DASHES[kind % 4], className: "line"})),
        Plot.dot(labels, {x: "k", y: "share", r: 4.5, fill: (label) => SERIES[label.kind % 4], stroke: "var(--surface)", title: "text", clip: false}),
        ...labels.map((label) => Plot.text([label], {x: "k", y: "share", dx: -9, dy: label.y - pixel(label.share), text: "text", textAnchor: "end", fontWeight: 600, fontSize: 12.5, fill: SERIES[label.kind % 4], stroke: "var(--surface)", strokeWidth: 5})),
      ],
    });
  }

  function changes(rows, share, width) {
    const color = {better: "var(--good)", worse: "var(--bad)", even: "var(--even)", neutral: "var(--even)"};
    const left = Math.min(width * 0.36, 14 + 7.4 * Math.max(...rows.map((row) => row.label.length)));
    const show = share ? (value) => `${Math.round(100 * value)} %` : (value) => d3.format(",")(value);
    const values = rows.flatMap((row) => [row.a, row.b]);
    const log = !share && Math.min(...values) >= 1;
    const mark = {better: "▲ better", worse: "▼ worse", even: "", neutral: ""};
    return Plot.plot({
      width, height: 40 * rows.length + 44, marginLeft: left, marginRight: 76, marginTop: 8, marginBottom: 34, style: FONT,
      x: {type: log ? "log" : "linear", domain: share ? [0, 1] : [log ? 1 : 0, Math.max(...values, 2)], nice: !share, tickFormat: show, ticks: width < 420 ? 3 : 6, label: null, tickSize: 0},
      y: {domain: rows.map((row) => row.label), label: null, tickSize: 0},
      marks: [
        Plot.gridX({stroke: "var(--line)", strokeOpacity: 1, ticks: width < 420 ? 3 : 6}),
        Plot.ruleY(rows, {x1: "a", x2: "b", y: "label", stroke: (row) => color[row.verdict], strokeWidth: 3}),
        Plot.dot(rows, {x: "a", y: "label", r: 5, fill: "var(--surface)", stroke: (row) => color[row.verdict], strokeWidth: 2, title: "title"}),
        Plot.dot(rows, {x: "b", y: "label", r: 6, fill: (row) => color[row.verdict], title: "title", className: "after"}),
        Plot.text(rows, {x: (row) => (log ? Math.sqrt(row.a * row.b) : (row.a + row.b) / 2), y: "label", text: "t", dy: -12, fontSize: 11.5, fill: INK, stroke: "var(--surface)", strokeWidth: 4}),
        Plot.text(rows, {y: "label", frameAnchor: "right", dx: 70, text: (row) => mark[row.verdict], fill: (row) => color[row.verdict], fontSize: 12, fontWeight: 600}),
      ],
    });
  }

  return {heat, ranks, ahead, split, curve, changes};
})();
