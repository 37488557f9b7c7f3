"use strict";
(() => {
  const gallery = document.querySelector("#gallery");
  const cards = [...gallery.children];
  const tools = document.querySelector(".tools");
  const shown = document.querySelector("#shown");
  const order = document.querySelector("#order");
  const worse = document.querySelector("#worse");
  const boxes = document.querySelector("#boxes");
  const counts = [...document.querySelectorAll("[data-count]")];
  const dialog = document.querySelector("dialog");
  const find = (name) => dialog.querySelector(name);
  const [slider, range, left, right] = [".slider", "input", "#left", "#right"].map(find);
  let people = "all";
  let current = null;

  const visible = () => [...gallery.children].filter((card) => !card.hidden);
  const candidate = (card) => card.querySelector("[data-role=candidate] .open");
  const number = (card, key) => Number(card.dataset[key]);

  function arrange() {
    const [key, sign] = order.value.split(" ");
    gallery.append(...cards.sort((a, b) =>
      Number(sign) * (number(a, key) - number(b, key)) || number(a, "rank") - number(b, "rank")));
    for (const card of cards) {
      card.hidden = (people !== "all" && card.dataset.people !== people)
        || (worse.checked && number(card, "change") >= 0);
    }
    for (const button of counts) button.setAttribute("aria-pressed", button.dataset.count === people);
    const count = visible().length;
    shown.textContent = `${count} of ${cards.length}`;
    document.querySelector("#none").hidden = count > 0;
  }

  function slide(value) {
    range.value = value;
    slider.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${left.value}, then ${right.value}`);
  }

  function paint() {
    for (const [side, choice] of [["left", left], ["right", right]]) {
      const figure = current.querySelector(`figure[data-role="${choice.value}"]`);
      find(`.side.${side}`).replaceChildren(figure.querySelector(".frame").cloneNode(true));
      find(`.tag.${side}`).textContent = choice.value;
      find(`.facts.${side}`).replaceChildren(figure.querySelector("figcaption").cloneNode(true));
    }
    const picture = find(".side.right img");
    slider.style.width = `min(100%, ${picture.width / picture.height * 58}vh)`;
    find("h3").replaceChildren(current.querySelector("header").cloneNode(true));
    find(".refs").replaceWith(current.querySelector(".refs").cloneNode(true));
    const among = visible();
    find("#place").textContent = `${among.indexOf(current) + 1} of ${among.length}`;
    slide(range.value);
  }

  function show(card) {
    current = card;
    paint();
    if (!dialog.open) {
      slide(50);
      dialog.showModal();
    }
    range.focus();
  }

  function step(by) {
    const among = visible();
    show(among[(among.indexOf(current) + by + among.length) % among.length]);
  }

  function walk(by) {
    const among = visible();
    if (!among.length) return;
    const at = among.indexOf(document.activeElement.closest(".exhibit"));
    const next = among[Math.min(among.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    candidate(next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "center" });
  }

  function swap() {
    [left.value, right.value] = [right.value, left.value];
    paint();
  }

  function outline() {
    document.body.classList.toggle("faces", boxes.checked);
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    const inside = {
      n: () => step(1), p: () => step(-1), s: swap,
      ArrowRight: () => slide(Number(range.value) + 2), ArrowLeft: () => slide(range.value - 2),
    };
    const outside = {
      j: () => walk(1), k: () => walk(-1), w: () => { worse.checked = !worse.checked; arrange(); },
      ...Object.fromEntries(counts.map((button) =>
        [button.dataset.count.replace("all", "0"), () => button.click()])),
    };
    const action = event.key === "f"
      ? () => { boxes.checked = !boxes.checked; outline(); }
      : (dialog.open ? inside : outside)[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  for (const button of counts) {
    button.addEventListener("click", () => { people = button.dataset.count; arrange(); });
  }
  order.addEventListener("change", arrange);
  worse.addEventListener("change", arrange);
  boxes.addEventListener("change", outline);
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest(".open");
    if (!button) return;
    const card = button.closest(".exhibit");
    const role = button.closest("figure").dataset.role;
    if (role !== right.value) left.value = role;
    if (left.value === right.value) left.value = order.dataset.against;
    show(card);
  });
  range.addEventListener("input", () => slide(range.value));
  left.addEventListener("change", paint);
  right.addEventListener("change", paint);
  find("#swap").addEventListener("click", swap);
  find("#next").addEventListener("click", () => step(1));
  find("#previous").addEventListener("click", () => step(-1));
  find("#close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => candidate(current).focus());
  document.addEventListener("keydown", press);
  tools.hidden = false;
  document.querySelector(".keys").hidden = false;
  arrange();
})();
