"use strict";
(() => {
  const gallery = document.querySelector("#gallery");
  const find = (name) => document.querySelector(name);

  function browse() {
    const cards = [...gallery.children];
    const groups = [...document.querySelectorAll("button[data-group]")];
    const [order, mistake, search] = ["#order", "#mistake", "#find"].map(find);
    const texts = new Map(cards.map((card) => [card, card.textContent.toLowerCase()]));
    let group = "";

    function arrange() {
      const [key, sign] = order.value.split(" ");
      const number = (card, name) => Number(card.dataset[name]);
      gallery.append(...cards.sort((a, b) =>
        Number(sign) * (number(a, key) - number(b, key)) || number(a, "index") - number(b, "index")));
      const words = search.value.toLowerCase();
      for (const card of cards) {
        card.hidden = (group && card.dataset.group !== group)
          || (mistake?.value && !card.dataset.mistakes.split(" ").includes(mistake.value))
          || !texts.get(card).includes(words);
      }
      for (const button of groups) {
        button.setAttribute("aria-pressed", button.dataset.group === group);
      }
      const count = cards.filter((card) => !card.hidden).length;
      find("#shown").textContent = `${count} of ${cards.length}`;
      find("#none").hidden = count > 0;
    }

    for (const button of groups) {
      button.addEventListener("click", () => { group = button.dataset.group; arrange(); });
    }
    for (const control of [order, mistake]) control?.addEventListener("change", arrange);
    search.addEventListener("input", arrange);
    find(".tools").hidden = false;
    arrange();
  }

  function sortable(table) {
    const heads = [...table.querySelectorAll("thead th")];
    const body = table.tBodies[0];
    const text = (row, column) => row.cells[column].textContent;
    const value = (row, column) => Number(text(row, column).replace("−", "-"));

    function sort(column) {
      const up = heads[column].getAttribute("aria-sort") !== "ascending";
      const compare = (a, b) => {
        const [x, y] = [value(a, column), value(b, column)];
        if (column === 0) return text(a, 0).localeCompare(text(b, 0)) * (up ? 1 : -1);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return (x - y) * (up ? 1 : -1);
      };
      body.append(...[...body.rows].sort(compare));
      for (const head of heads) head.removeAttribute("aria-sort");
      heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    }

    heads.forEach((head, column) => head.addEventListener("click", () => sort(column)));
    sort(Number(table.dataset.sort));
  }

  if (gallery) browse();
  document.querySelectorAll(".sortable").forEach(sortable);
})();
