"use strict";

// A number at the start of a cell, such as 22.74 in "22.74 ± 0.20"; NaN if there is none.
function leadingNumber(text) {
  const found = /^[-+]?\d+(\.\d+)?(e[-+]?\d+)?/.exec(text);
  return found ? Number(found[0]) : NaN;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const textOf = (row) => row.cells[column].textContent;
    const known = original.filter((row) => textOf(row) !== "-");
    const isNumeric = known.length > 0 && known.every((row) => !isNaN(leadingNumber(textOf(row))));
    if (isNumeric) [head, ...original.map((row) => row.cells[column])].forEach((cell) => cell.classList.add("number"));
    const compare = isNumeric
      ? (a, b) => leadingNumber(textOf(a)) - leadingNumber(textOf(b))
      : (a, b) => textOf(a).localeCompare(textOf(b), "en", { numeric: true });
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const order = next === undefined ? "ascending" : next;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      let rows = original;
      if (order !== null) {
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        // What is missing stays at the end in both orders.
        rows = [...known].sort((a, b) => sign * compare(a, b));
        rows.push(...original.filter((row) => textOf(row) === "-"));
      }
      body.append(...rows);
    });
  });
}

function addComparison(image) {
  const figures = [...image.querySelectorAll(".pictures figure")].filter((figure) => figure.querySelector(".picture"));
  if (figures.length < 2) return;
  const box = image.querySelector(".compare");
  const stage = box.querySelector(".stage");
  const range = box.querySelector("input");
  const choices = {};
  for (const side of ["left", "right"]) {
    const select = box.querySelector(`select.${side}`);
    for (const [number, figure] of figures.entries()) {
      const words = [...figure.querySelectorAll("figcaption span")].map((span) => span.textContent);
      select.append(new Option(words.join(", "), number));
    }
    const shown = stage.querySelector(`img.${side}`);
    select.addEventListener("change", () => show(side));
    choices[side] = { select, shown };
  }
  function show(side) {
    const { select, shown } = choices[side];
    const picture = figures[select.value].querySelector(".picture");
    shown.src = picture.src;
    shown.alt = picture.alt;
    move();
  }
  function move() {
    stage.style.setProperty("--cut", `${range.value}%`);
    const [left, right] = ["left", "right"].map((side) => choices[side].select.selectedOptions[0].textContent);
    range.setAttribute("aria-valuetext", `${range.value} % ${left}; the rest ${right}`);
  }
  function drag(event) {
    if (event.type === "pointermove" && event.buttons === 0) return;
    const frame = stage.getBoundingClientRect();
    range.value = (100 * (event.clientX - frame.left)) / frame.width;
    move();
  }
  range.addEventListener("input", move);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  // At first, the estimates of two samplers if there are two, and no single samples.
  const estimates = [...figures.keys()].filter((number) => !["", "sample"].includes(figures[number].dataset.kind));
  const [left, right] = [...estimates, ...[...figures.keys()].filter((number) => !estimates.includes(number))];
  choices.left.select.value = left;
  choices.right.select.value = right;
  box.hidden = false;
  show("left");
  show("right");
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("details.image").forEach(addComparison);
