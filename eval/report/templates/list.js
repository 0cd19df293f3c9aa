// The list of reviews, a row each with its outcome in every run; filters, and the state in the address.

const PAGE = 60;
const STATE = ["run", "show", "cause", "part", "q", "review"];
const MARKS = { right: "✓", wrong: "✗", failed: "!", "": "" };

const page = Object.fromEntries(["list", "more", "count", "clear", "f-q", "f-run", "f-show", "f-cause", "f-part", "matrix-head"]
  .map((id) => [id, document.getElementById(id)]));
const LETTERS = INDEX.runs.map((run) => run.letter);
const AT = new Map(INDEX.reviews.map((review, at) => [review.id, at]));

let state = {};
let matches = [];
let rendered = 0;
let texts = null;

function selected() {
  const number = LETTERS.indexOf(state.run);
  return number < 0 ? (SEVERAL ? 1 : 0) : number;
}

function search() {
  const wanted = state.q.trim().toLowerCase();
  const number = selected();
  const test = Object.hasOwn(TESTS, state.show) ? TESTS[state.show] : TESTS[""];
  matches = [];
  INDEX.reviews.forEach((review, at) => {
    const kept = test(review, number)
      && (!state.cause || (review.runs[number] && review.runs[number][1] === state.cause))
      && (!state.part || inPart(review, state.part))
      && (!wanted || !texts || texts[at].includes(wanted));
    if (kept) {
      matches.push(at);
    }
  });
}

function render() {
  search();
  rendered = 0;
  page.list.replaceChildren();
  grow(PAGE);
  const all = INDEX.reviews.length;
  page.count.textContent = matches.length < all ? `${matches.length.toLocaleString("en")} of ${all.toLocaleString("en")}` : all.toLocaleString("en");
  if (SEVERAL) {
    renderHead();
  }
  if (state.review) {
    show(state.review);
  }
}

// Per-run counts of what is listed, over the columns of the rows.
function renderHead() {
  const cells = LETTERS.map((letter, number) => {
    const known = matches.filter((at) => outcome(INDEX.reviews[at], number));
    const right = known.filter((at) => outcome(INDEX.reviews[at], number) === "right").length;
    const share = known.length ? `${Math.round((100 * right) / known.length)}%` : "–";
    const title = `${INDEX.runs[number].name}: ${right} of ${known.length} right`;
    return make("span", { class: "cell", title }, badge(number, letter), make("small", null, share));
  });
  page["matrix-head"].replaceChildren(make("span", { class: "cells" }, ...cells), make("span", { class: "hint" }, "right of those listed"));
  page["matrix-head"].hidden = false;
}

function grow(count) {
  const more = matches.slice(rendered, rendered + count);
  page.list.append(...more.map(row));
  rendered += more.length;
  page.more.hidden = rendered >= matches.length;
  page.more.textContent = `${(matches.length - rendered).toLocaleString("en")} more`;
}

function row(at) {
  const review = INDEX.reviews[at];
  const number = selected();
  const run = review.runs[number];
  const changed = change(review, number);
  const cells = review.runs.map((one, i) => make("span",
    { class: `cell ${one ? one[0] : ""}`, title: `${LETTERS[i]}: ${one ? words(one[1] || one[0]) : "not in this run"}` },
    MARKS[one ? one[0] : ""]));
  const label = run ? (run[1] ? words(run[1]) : run[0]) : "not in this run";
  const button = make("button", { type: "button", class: "row", "aria-expanded": "false" },
    SEVERAL ? make("span", { class: "cells" }, ...cells) : null,
    changed === "fixed" || changed === "broken" ? make("span", { class: `badge ${changed}` }, changed) : null,
    make("span", { class: `badge ${run ? run[0] : ""}` }, label),
    make("span", { class: "id" }, review.id),
    make("span", { class: "snippet", dir: "auto" }, review.mention ? make("b", null, `${review.mention} · `) : "", review.snippet),
    make("span", { class: "sure", title: "confidence" }, run && run[3] !== null ? digits(run[3], 2) : ""));
  button.addEventListener("click", () => toggle(review.id));
  return make("article", { class: "review", "data-at": String(at) }, button);
}

function element(at) {
  return page.list.querySelector(`article[data-at="${at}"]`);
}

// Opens the card of a review in the list; one card is open at a time.
async function show(id) {
  const at = AT.get(id);
  const place = matches.indexOf(at);
  if (place < 0) {
    return;
  }
  if (place >= rendered) {
    grow(place - rendered + PAGE);
  }
  const article = element(at);
  let parts;
  try {
    parts = await inside(at, selected());
  } catch (error) {
    parts = [make("p", { class: "none" }, `This browser cannot unpack the card (${error.name}); a newer one can.`)];
  }
  if (state.review === id && article.isConnected) {
    article.querySelector(".inside")?.remove();
    article.firstChild.setAttribute("aria-expanded", "true");
    article.append(make("div", { class: "inside" }, ...parts));
  }
}

function close() {
  const open = page.list.querySelector('[aria-expanded="true"]');
  if (open) {
    open.setAttribute("aria-expanded", "false");
    open.parentElement.querySelector(".inside")?.remove();
  }
  return open;
}

async function toggle(id) {
  const next = state.review === id ? "" : id;
  close();
  state.review = next;
  remember();
  if (next) {
    await show(next);
    element(AT.get(next)).scrollIntoView({ block: "nearest" });
  }
}

function remember() {
  const kept = new URLSearchParams(STATE.filter((name) => state[name]).map((name) => [name, state[name]]));
  history.replaceState(null, "", `#${kept}`);
}

// Takes the filters and the open card from the address.
function restore() {
  const kept = new URLSearchParams(location.hash.slice(1));
  state = Object.fromEntries(STATE.map((name) => [name, kept.get(name) || ""]));
  if (SEVERAL) {
    page["f-run"].value = LETTERS[selected()];
  }
  renderFilters();
  settle("part");
  page["f-q"].value = state.q;
  if (state.q) {
    readTexts();
  }
  render();
  if (STATE.some((name) => state[name])) {
    document.getElementById("reviews").scrollIntoView();
  }
}

function choose(name, value) {
  state[name] = value;
  if (name === "run") {
    state.cause = "";
    if (!selected() && ["fixed", "broken", "same"].includes(state.show)) {
      state.show = "";
    }
    renderFilters();
  }
  remember();
  render();
}

// The text of all reviews is unpacked before the first search: without it, a search would find everything.
async function readTexts() {
  if (texts === null) {
    texts = await unpacked("searched");
    if (state.q) {
      render();
    }
  }
}

if (page.list) {
  for (const [name, event] of [["run", "change"], ["show", "change"], ["cause", "change"], ["part", "change"], ["q", "input"]]) {
    page[`f-${name}`]?.addEventListener(event, () => choose(name, page[`f-${name}`].value));
  }
  page.clear.addEventListener("click", () => {
    state = { ...state, show: "", cause: "", part: "", q: "" };
    remember();
    restore();
  });
  page.more.addEventListener("click", () => grow(2 * PAGE));
  window.addEventListener("hashchange", restore);
  renderParts();
  restore();
  (window.requestIdleCallback || setTimeout)(readTexts);
}
