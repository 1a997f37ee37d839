"use strict";
(function () {
  const table = document.getElementById("run-table");
  if (!table) { return; }
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
  const shown = document.getElementById("shown");

  document.getElementById("filter").addEventListener("input", function (event) {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach(function (row, at) {
      const fits = words.every(function (word) { return texts[at].includes(word); });
      row.hidden = !fits;
      count += fits ? 1 : 0;
    });
    shown.textContent = count.toLocaleString("en") + " shown";
  });

  function keyOf(row, column) {
    const cell = row.cells[column + 1];
    if (cell.dataset.value === undefined) { return cell.textContent; }
    return cell.dataset.value === "" ? -Infinity : Number(cell.dataset.value);
  }

  table.querySelectorAll("button.sort").forEach(function (button) {
    button.addEventListener("click", function () {
      const column = Number(button.dataset.column), head = button.parentElement;
      const falls = head.getAttribute("aria-sort") !== "descending";
      table.querySelectorAll("th[aria-sort]").forEach(function (one) { one.setAttribute("aria-sort", "none"); });
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const order = falls ? -1 : 1;
      const sorted = rows.map(function (row) { return [keyOf(row, column), row]; }).sort(function (a, b) {
        return a[0] < b[0] ? -order : a[0] > b[0] ? order : 0;
      });
      sorted.forEach(function (pair) { body.appendChild(pair[1]); });
    });
  });

  // A name goes into a shell: what a shell would read is quoted.
  function quoted(word) {
    return /^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replace(/'/g, "'\\''") + "'";
  }

  function cell(kind, text) {
    const made = document.createElement(kind);
    made.textContent = text;
    return made;
  }

  const picked = document.getElementById("picked");
  body.addEventListener("change", function () {
    const chosen = rows.filter(function (row) { return row.querySelector("input").checked; });
    picked.hidden = chosen.length === 0;
    const heads = Array.from(table.tHead.rows[0].cells).slice(1);
    const side = picked.querySelector("table");
    side.tHead.replaceChildren();
    side.tBodies[0].replaceChildren();
    heads.forEach(function (head, at) {
      const line = document.createElement("tr");
      line.appendChild(cell("th", head.textContent));
      chosen.forEach(function (row) { line.appendChild(cell("td", row.cells[at + 1].textContent)); });
      side.tBodies[0].appendChild(line);
    });
    const names = chosen.map(function (row) { return quoted(table.dataset.folder + "/" + row.querySelector("input").value); });
    picked.querySelector(".command").hidden = chosen.length < 2;
    picked.querySelector("code").textContent = "ioprof compare " + names.join(" ");
  });
})();
