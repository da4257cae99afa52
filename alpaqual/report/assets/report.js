/* Draws the charts, moves thresholds and filters rows. Texts of rows go through textContent alone. */

const data = JSON.parse(document.getElementById("data").textContent);
const views = new Map();
const PAGE = 20;

for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;

/* Numbers, written as alpaqual/report/html.py writes them: from whole numbers, so that no rounding differs. */

const count = (number) => number.toLocaleString("en-US");

function tenths(part, whole) {
  return (2000n * part + whole) / (2n * whole);
}

function decimal(value) {
  return `${value / 10n}.${value % 10n}`;
}

function percent(part, whole) {
  if (!whole) return "–";
  const share = tenths(BigInt(part), BigInt(whole));
  if (part > 0 && share === 0n) return "<0.1%";
  if (part < whole && share === 1000n) return ">99.9%";
  return `${decimal(share)}%`;
}

function difference(part, whole, allPart, allWhole) {
  if (!whole || !allWhole) return "–";
  const difference = BigInt(part) * BigInt(allWhole) - BigInt(allPart) * BigInt(whole);
  const apart = tenths(difference < 0n ? -difference : difference, BigInt(whole) * BigInt(allWhole));
  const sign = apart === 0n ? "" : difference > 0n ? "+" : "−";
  return sign + decimal(apart);
}

function change(number) {
  return number === 0 ? "0" : (number > 0 ? "+" : "−") + count(Math.abs(number));
}

function score(value) {
  return String(Number(value.toPrecision(6)));
}

/* Charts */

const tip = document.getElementById("tip");

function showTip(handler, event, item, value) {
  if (value === null || value === undefined || typeof value !== "object") {
    tip.hidden = true;
    return;
  }
  tip.textContent = Object.entries(value).map(([name, shown]) => `${name}: ${shown}`).join("\n");
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const top = event.clientY + 18 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 18;
  tip.style.transform = `translate(${Math.max(8, left)}px, ${top}px)`;
}

/* `ast` has Vega interpret its expressions, so that the page's policy can forbid eval; its own style sheet would be refused too. */
const OPTIONS = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: showTip };

async function draw(id, spec) {
  const { view } = await window.vegaEmbed(document.getElementById(id), spec, OPTIONS);
  views.set(id, view);
}

/* Thresholds */

function prepare(found) {
  const slider = document.getElementById(found.id);
  const shown = document.getElementById(`${found.id}-value`);
  const head = document.getElementById(`${found.id}-head`);
  const back = document.getElementById(`${found.id}-back`);
  const rows = [...document.getElementById(`${found.id}-table`).querySelectorAll("tbody tr")];

  function move() {
    const at = Number(slider.value);
    const threshold = found.stops[at];
    shown.textContent = head.textContent = `≥ ${score(threshold)}`;
    slider.setAttribute("aria-valuetext", `score at least ${score(threshold)}`);
    back.disabled = at === found.start;
    const whole = found.groups[0];
    found.groups.forEach((group, index) => {
      const kept = group.kept[at];
      const apart = index === 0 ? "" : difference(kept, group.eligible, whole.kept[at], whole.eligible);
      const texts = [count(kept), percent(kept, group.eligible), apart, change(kept - group.kept[found.start])];
      rows[index].querySelectorAll(".moved").forEach((cell, column) => {
        cell.textContent = texts[column];
      });
    });
    views.get(found.chart)?.signal("threshold", threshold).runAsync();
  }

  slider.addEventListener("input", move);
  back.addEventListener("click", () => {
    slider.value = String(found.start);
    move();
    slider.focus();
  });
  return move;
}

/* Rows and judged items */

/* Shows the rows of a list that match, page by page. Returns the function that starts again from the first page. */
function paged(list, rows, noun, matches, say = () => {}) {
  const [search, open, counted, more] = ["search", "open", "count", "more"].map((name) => document.getElementById(`${list}-${name}`));
  const texts = rows.map((row) => row.element.textContent.toLowerCase());
  let most = PAGE;

  function show() {
    const words = search.value.toLowerCase().split(/\s+/);
    const matching = rows.filter((row, index) => words.every((word) => texts[index].includes(word)) && matches(row));
    const shown = new Set(matching.slice(0, most));
    for (const row of rows) row.element.hidden = !shown.has(row);
    shown.forEach(say);
    counted.textContent = `${count(shown.size)} of ${count(matching.length)} ${noun}`;
    more.hidden = shown.size === matching.length;
    more.textContent = `show ${count(Math.min(PAGE, matching.length - shown.size))} more`;
  }

  function start() {
    most = PAGE;
    show();
  }

  search.addEventListener("input", start);
  more.addEventListener("click", () => {
    most += PAGE;
    show();
  });
  open.addEventListener("click", () => {
    const opening = rows.some((row) => !row.element.hidden && !row.element.open);
    for (const row of rows) row.element.open = opening;
    open.textContent = opening ? "close all" : "open all";
  });
  return start;
}

function filterRows() {
  const list = document.getElementById("rows-list");
  if (!list) return;
  const [dataset, fate, category] = ["dataset", "fate", "category"].map((name) => document.getElementById(`rows-${name}`));
  const rows = [...list.querySelectorAll(".row")].map((element) => ({
    element,
    standings: [...element.querySelectorAll("[data-dataset]")].map((each) => each.dataset),
    categories: JSON.parse(element.dataset.categories),
  }));

  const standing = (row) =>
    row.standings.find((each) => (!dataset.value || each.dataset === dataset.value) && (!fate.value || each.fate === fate.value));

  const matches = (row) => standing(row) !== undefined && (!category?.value || row.categories.includes(category.value));

  /* A row near the thresholds of several datasets shows its fate in the one that is filtered for. */
  function say(row) {
    const { score: scored, fate: became, word, dataset: within } = standing(row);
    const [first, second, third] = ["score", "fate", "of"].map((name) => row.element.querySelector(`summary .${name}`));
    first.textContent = scored;
    second.textContent = word;
    second.className = `fate ${became}`;
    third.textContent = within;
  }

  const start = paged("rows", rows, "rows", matches, say);
  for (const choice of [dataset, fate, category]) choice?.addEventListener("change", start);
  start();
}

function filterItems() {
  const list = document.getElementById("items-list");
  if (!list) return;
  const shown = document.getElementById("items-shown");
  const choices = ["pair", "test-set", "group", "verdict", "judge"]
    .map((name) => [name.replace(/-(.)/, (_, letter) => letter.toUpperCase()), document.getElementById(`items-${name}`)])
    .filter(([, choice]) => choice);
  const rows = [...list.querySelectorAll(".item")].map((element) => ({ element, facts: element.dataset }));

  const matches = ({ facts }) =>
    (shown.value === "all" || facts.example !== undefined) &&
    choices.every(([name, choice]) => !choice.value || facts[name] === choice.value);

  const start = paged("items", rows, "items", matches);

  /* Who looks for a text, or for ties, looks for it in all items. */
  function everything() {
    shown.value = "all";
    start();
  }

  document.getElementById("items-search").addEventListener("input", everything);
  shown.addEventListener("change", start);
  for (const [name, choice] of choices) {
    choice.addEventListener("change", () => (name === "verdict" && ["tie", "unjudged"].includes(choice.value) ? everything() : start()));
  }
  /* A run of ties alone has no examples. */
  if (!rows.some(({ facts }) => facts.example !== undefined)) shown.value = "all";
  start();
}

filterRows();
filterItems();
/* A browser that comes back to the page may have kept where a slider stood. */
const moves = data.thresholds.map(prepare);
for (const move of moves) move();
await Promise.all(Object.entries(data.charts).map(([id, spec]) => draw(id, spec)));
for (const move of moves) move();
document.documentElement.dataset.drawn = "true";
