// Controls of a report: which pool and query language are shown, the list of worst queries, theme and printing.
"use strict";

(() => {
  const ALL = "*";
  const FIRST_QUERIES = 8;
  const MOST_LINES = 12;
  const PAPER = 690; // the width of A4 between its margins, in CSS pixels
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const byKey = new Map((data.views ?? []).map((view) => [view.key, view]));
  const articles = [...document.querySelectorAll("article.view")];
  const chooseView = document.getElementById("choose-view");
  const chooseQuery = document.getElementById("choose-query");
  const chooseMeasure = document.getElementById("choose-measure");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const current = () => articles.find((article) => !article.hidden) ?? null;
  const chosenTag = () => chooseQuery?.value ?? ALL;

  function element(name, className, text) {
    const node = document.createElement(name);
    node.className = className;
    node.textContent = text;
    return node;
  }

  // A chart is one image to a screen reader; the table below it holds the numbers.
  function finish(svg, label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${label}. The numbers stand in the table below.`);
    for (const child of svg.children) if (child.tagName === "g") child.setAttribute("aria-hidden", "true");
    return svg;
  }

  function draw(figure, paper) {
    const plot = figure.querySelector(".plot");
    const half = paper && figure.closest(".pair:not(.wide)");
    const width = half ? PAPER / 2 - 12 : paper ? PAPER : Math.floor(plot.clientWidth);
    if (!width) return;
    const {chart, label} = figure.dataset;
    const view = byKey.get(figure.dataset.view);
    plot.replaceChildren(...pieces(chart, label, view, width));
    // What can be scrolled must be reachable by keyboard.
    if (plot.scrollWidth > plot.clientWidth) {
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", `${label}, scrolls sideways`);
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) plot.removeAttribute(name);
    }
  }

  function pieces(chart, label, view, width) {
    if (chart === "changes") {
      const name = chooseMeasure?.value;
      const all = data.changes[name] ?? [];
      // Many lines say less than those that changed; the tables hold all.
      const changed = all.filter((row) => row.verdict !== "even" && row.verdict !== "none");
      const rows = all.length <= MOST_LINES ? all : (changed.length ? changed : all).slice(0, MOST_LINES);
      document.getElementById("undrawn").textContent = rows.length < all.length ? `${rows.length} of ${all.length} lines are drawn${changed.length ? ", those that changed significantly" : ""}.` : "";
      if (!rows.length) return [element("p", "hint", "No measure has a value in both results.")];
      return [finish(crossalignCharts.changes(rows, data.shares.includes(name), width), `${label}: ${name}`)];
    }
    const chosen = view.queries.findIndex((query) => query.tag === chosenTag());
    if (chart === "median" || chart === "mean") return heatPieces(chart, label, view, width);
    if (chart === "split") {
      const rows = view.split.length > 16 && chosen >= 0 ? view.split.filter((row) => row.q === chosen) : view.split;
      if (!rows.length) return [element("p", "hint", "These measures were not asked for.")];
      return [finish(crossalignCharts.split(view, rows, width), label)];
    }
    if (chart === "curve") {
      const all = view.curve.rows;
      const rows = all.length > 16 && chosen >= 0 ? all.filter((row) => row.q === chosen) : all;
      return [finish(crossalignCharts.curve(view, rows, chosen, width), label)];
    }
    return panels(chart, label, view, chosen, width);
  }

  function heatPieces(chart, label, view, width) {
    if (!view.heat[chart].some((cell) => cell.v !== null)) {
      return [element("p", "hint", "No mean: some ranks lie below the end of the lists and are not known.")];
    }
    const least = 48 + 38 * view.documents.length;
    return [finish(crossalignCharts.heat(view, chart, Math.max(width, least)), label)];
  }

  // One panel per query language that is shown.
  function panels(chart, label, view, chosen, width) {
    const shown = chosen >= 0 ? [chosen] : view.queries.map((_, place) => place);
    const known = chart === "ranks" ? view.strips : view.ahead;
    const columns = shown.length > 1 && width >= 680 ? 2 : 1;
    const inner = Math.floor((width - 40 * (columns - 1)) / columns);
    return shown.filter((place) => known.some((entry) => entry.q === place)).map((place) => {
      const panel = element("div", "panel", "");
      const title = element("p", "panel-title", `${view.queries[place].name} queries`);
      panel.append(title, finish(crossalignCharts[chart](view, place, inner), `${label}, ${view.queries[place].name} queries`));
      return panel;
    });
  }

  const charts = () => [...(current() ?? document).querySelectorAll("figure.chart")];
  const idle = window.requestIdleCallback ?? ((action) => setTimeout(action, 1));
  let later = [];

  function drawAll(paper = false) {
    later = [];
    for (const figure of charts()) draw(figure, paper);
  }

  // What the first screen does not show is drawn once the page is there.
  function drawFirst() {
    const [now, below] = [[], []];
    for (const figure of charts()) (figure.getBoundingClientRect().top < innerHeight ? now : below).push(figure);
    later = below;
    for (const figure of now) draw(figure, false);
    addEventListener("load", () => idle(drawNext));
  }

  function drawNext() {
    const figure = later.shift();
    if (figure) draw(figure, false);
    if (later.length) idle(drawNext);
    else {
      document.documentElement.dataset.charts = "drawn";
      performance.mark("charts");
    }
  }

  function fillQueries(article) {
    const view = byKey.get(article.id);
    const options = view.queries.map((query) => new Option(query.name, query.tag));
    if (options.length > 1) options.unshift(new Option("All", ALL));
    chooseQuery.replaceChildren(...options);
    chooseQuery.value = view.queries.length > 3 ? article.dataset.weakest : options[0].value;
  }

  function showView(key, drawn = drawAll) {
    for (const article of articles) article.hidden = article.id !== key;
    const article = current();
    fillQueries(article);
    listQueries(article);
    document.documentElement.classList.add("chosen");
    drawn();
  }

  function listQueries(article, limit = FIRST_QUERIES) {
    const wanted = article.querySelector(".find").value.trim().toLocaleLowerCase();
    const items = [...article.querySelectorAll("ol.queries > li")];
    const matching = items.filter((item) =>
      (chosenTag() === ALL || item.dataset.q === chosenTag())
      && (!wanted || item.textContent.toLocaleLowerCase().includes(wanted)));
    const shown = new Set(matching.slice(0, limit));
    for (const item of items) item.hidden = !shown.has(item);
    article.querySelector(".status").textContent = `${shown.size} of ${matching.length} shown`;
    const more = article.querySelector(".more-queries");
    more.hidden = shown.size >= matching.length;
    more.dataset.limit = limit;
  }

  function wireQueries(article) {
    article.querySelector(".find").addEventListener("input", () => listQueries(article));
    article.querySelector(".more-queries").addEventListener("click", (event) => {
      const before = [...article.querySelectorAll("ol.queries > li:not([hidden])")].length;
      listQueries(article, Number(event.currentTarget.dataset.limit) + 20);
      [...article.querySelectorAll("ol.queries > li:not([hidden]) summary")][before]?.focus();
    });
  }

  // A link to a full text opens the folded list it stands in, and the way back leads to the link.
  let origin = null;
  function openTarget() {
    const id = decodeURIComponent(location.hash.slice(1));
    const target = id.startsWith("document-") ? document.getElementById(id) : null;
    if (!target) return;
    const folded = target.closest("details");
    if (folded) folded.open = true;
    target.scrollIntoView({block: "center", behavior: reduced ? "auto" : "smooth"});
    target.focus({preventScroll: true});
  }

  function wireTexts() {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a.full");
      if (link) origin = link;
      if (event.target.closest("button.back")) {
        const back = origin ?? document.querySelector("article.view:not([hidden]) details.query summary");
        back?.scrollIntoView({block: "center"});
        back?.focus();
      }
    });
    addEventListener("hashchange", openTarget);
    openTarget();
  }

  function wireTheme() {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", isDark() ? "Switch to the light theme" : "Switch to the dark theme");
      button.removeAttribute("aria-pressed");
    };
    button.addEventListener("click", () => {
      const theme = isDark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      try {
        localStorage.setItem("crossalign-theme", theme);
      } catch (error) {
        // Storage can be forbidden for files; the choice then lasts as long as the page.
      }
      label();
      drawAll();
    });
    system.addEventListener("change", () => {
      label();
      drawAll();
    });
    label();
  }

  let printing = false;
  // On paper nothing can be opened: the first two queries are printed open, and charts are drawn for the width of A4.
  function wirePrint() {
    let opened = [];
    let theme;
    addEventListener("beforeprint", () => {
      printing = true;
      // Paper is light.
      theme = document.documentElement.dataset.theme;
      document.documentElement.dataset.theme = "light";
      const folded = [...document.querySelectorAll("details.fold:not([open])")];
      const closed = [...document.querySelectorAll("article.view:not([hidden]) ol.queries > li:not([hidden]) details.query:not([open])")];
      opened = [...closed.slice(0, 2), ...folded];
      for (const details of opened) details.open = true;
      drawAll(true);
    });
    addEventListener("afterprint", () => {
      for (const details of opened) details.open = false;
      opened = [];
      printing = false;
      if (theme === undefined) delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      drawAll();
    });
    document.getElementById("print").addEventListener("click", () => print());
  }

  function wireResize() {
    let last = document.documentElement.clientWidth;
    let frame = 0;
    addEventListener("resize", () => {
      if (document.documentElement.clientWidth === last) return;
      last = document.documentElement.clientWidth;
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => drawAll());
    });
  }

  // A chart has no width before its place is opened.
  function wireFolds() {
    for (const details of document.querySelectorAll("details.fold")) {
      details.addEventListener("toggle", () => {
        if (details.open && !printing) for (const figure of details.querySelectorAll("figure.chart")) draw(figure, false);
      });
    }
  }

  wireTheme();
  wireFolds();
  wirePrint();
  wireResize();
  wireTexts();
  if (articles.length) {
    for (const article of articles) wireQueries(article);
    chooseView?.addEventListener("change", () => showView(chooseView.value));
    chooseQuery.addEventListener("change", () => {
      drawAll();
      listQueries(current());
    });
    showView(articles[0].id, drawFirst);
  } else {
    chooseMeasure?.addEventListener("change", () => drawAll());
    drawFirst();
  }
})();
