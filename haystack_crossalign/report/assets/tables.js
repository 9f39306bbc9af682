// Tables sort by a click on a heading; tables and charts can be saved as files.
"use strict";

(() => {
  const PROPERTIES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-weight", "font-family", "text-anchor"];

  // The first number of a cell; its small print, such as an interval, is no part of it.
  function valueOf(cell) {
    const copy = cell.cloneNode(true);
    for (const part of copy.querySelectorAll("small, sup")) part.remove();
    const text = copy.textContent.trim();
    const number = Number.parseFloat(text.replace(/[\u2009\u202f\u00a0,]/g, "").replace("\u2212", "-").replace(/^[≥<>≤+] ?/, ""));
    return {text, number};
  }

  function sort(table, column, descending) {
    const direction = descending ? -1 : 1;
    const rowsOf = (body) => [...body.rows].filter((row) => !row.classList.contains("group")).map((row) => ({row, ...valueOf(row.cells[column])}));
    const all = [...table.tBodies].flatMap(rowsOf);
    const byText = all.filter(({number}) => !Number.isNaN(number)).length * 2 < all.length;
    const compare = (a, b) => {
      // The best possible values stay at the top, what has no value at the end.
      const fixed = b.row.classList.contains("best") - a.row.classList.contains("best");
      if (fixed) return fixed;
      if (byText) return direction * a.text.localeCompare(b.text);
      if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
      return direction * (a.number - b.number);
    };
    // Groups stay together.
    for (const body of table.tBodies) body.append(...rowsOf(body).sort(compare).map(({row}) => row));
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  function makeSortable(table) {
    if (!table.tHead || Math.max(...[...table.tBodies].map((body) => body.rows.length)) < 3) return;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, column, heading.getAttribute("aria-sort") === "ascending"));
      heading.append(button);
    });
  }

  // RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe.
  function csv(table) {
    const quoted = (text) => `"${(/^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
    const text = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join(" ");
    // The heading of a group becomes the first cell of its rows.
    const group = (row) => text(row.parentElement.querySelector("tr.group th") ?? row.cells[0]);
    const first = (row) => !table.querySelector("tr.group") ? [] : [row.parentElement === table.tHead ? table.dataset.group : group(row)];
    const rows = [...table.rows].filter((row) => !row.classList.contains("group"));
    return rows.map((row) => [...first(row), ...[...row.cells].map(text)].map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  // Colors and fonts come from the page's style sheet, which a file does not have.
  function standalone(svg) {
    const copy = svg.cloneNode(true);
    const originals = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((node, place) => {
      if (!(originals[place] instanceof SVGElement)) return;
      const style = getComputedStyle(originals[place]);
      for (const name of PROPERTIES) node.style.setProperty(name, style.getPropertyValue(name));
    });
    const defs = document.querySelector("svg.defs defs");
    if (copy.querySelector('[fill="url(#hatch)"]')) {
      const own = defs.cloneNode(true);
      const shapes = [...defs.querySelectorAll("rect")];
      [...own.querySelectorAll("rect")].forEach((node, place) => node.style.setProperty("fill", getComputedStyle(shapes[place]).fill));
      copy.prepend(own);
    }
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.style.background = getComputedStyle(document.documentElement).getPropertyValue("--surface");
    return new XMLSerializer().serializeToString(copy);
  }

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type}));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  const fileName = (title, ending) => `${title.toLocaleLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60)}.${ending}`;

  function button(text, title, action) {
    const node = document.createElement("button");
    node.type = "button";
    node.className = "save";
    node.textContent = text;
    node.setAttribute("aria-label", `${text}: ${title}`);
    node.addEventListener("click", action);
    return node;
  }

  // What is folded gets its buttons when it is opened.
  function whenOpen(node, action) {
    const folded = node.closest("details:not([open])");
    if (folded) folded.addEventListener("toggle", action, {once: true});
    else action();
  }

  function wireTable(table) {
    makeSortable(table);
    const title = table.caption?.textContent.trim() ?? "table";
    // The byte order mark lets spreadsheets read UTF-8.
    const action = () => save(fileName(title, "csv"), "text/csv;charset=utf-8", `\ufeff${csv(table)}`);
    table.parentElement.after(button("Save as CSV", title, action));
  }

  for (const table of document.querySelectorAll(".scroller > table")) whenOpen(table, () => wireTable(table));
  for (const figure of document.querySelectorAll("figure.chart")) {
    const {label} = figure.dataset;
    figure.querySelector(".plot").after(button("Save as SVG", label, () => {
      [...figure.querySelectorAll(".plot svg")].filter((svg) => !svg.parentElement.closest("svg")).forEach((svg, place, all) =>
        save(fileName(all.length > 1 ? `${label} ${place + 1}` : label, "svg"), "image/svg+xml", standalone(svg)));
    }));
  }
})();
