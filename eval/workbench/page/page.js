"use strict";
// Every text from reviews, models, templates and files becomes text: nothing here makes markup of it.

const KEPT = "ameli-workbench";
const at = (id) => document.getElementById(id);
const state = { name: "", source: "", loaded: "", from: "dataset", id: "", photo: "", now: null, before: null };
let about = null;
let checks = 0;

// --- talking to the workbench

async function ask(path, body) {
  const sent = { method: body === undefined ? "GET" : "POST", body };
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch {
    throw new Error("The workbench does not answer: is its command still running? This tab keeps your text.");
  }
  if (answer.status === 403 || answer.status === 421) throw new Error(await answer.text());
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  banner("");
  return content;
}

const post = (path, content) => ask(path, JSON.stringify(content));

function banner(text) {
  at("banner").textContent = text;
  at("banner").hidden = !text;
}

// Says what went wrong where the eye is; what the whole page suffers from stands above it.
async function trying(action, place) {
  try {
    await action();
  } catch (error) {
    if (place) at(place).textContent = error.message;
    banner(error.message);
  }
}

// --- elements

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function fill(id, ...children) {
  at(id).replaceChildren(...children);
}

const fixed = (value, digits = 3) => (typeof value === "number" ? value.toFixed(digits) : "–");
const many = (requests) => (requests === 1 ? "1 request" : `${requests} requests`);
const signed = (value, digits = 3) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(digits);

// --- what a tab keeps when it is loaded anew

function keep() {
  const typed = {};
  for (const id of ["mention", "header", "body", "search", "new-name"]) typed[id] = at(id).value;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ ...state, typed }));
  } catch {
    sessionStorage.setItem(KEPT, JSON.stringify({ ...state, typed, now: null, before: null }));
  }
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem(KEPT) || "{}");
  for (const key of Object.keys(state)) if (key in kept) state[key] = kept[key];
  for (const [id, value] of Object.entries(kept.typed || {})) at(id).value = value;
}

// --- the review

function review() {
  if (state.from === "dataset") return { id: state.id };
  return { header: at("header").value, body: at("body").value, mention: at("mention").value, photo: state.photo };
}

function choose(from) {
  state.from = from;
  at("from-dataset").checked = from === "dataset";
  at("from-paste").checked = from === "paste";
  at("picking").hidden = from !== "dataset";
  at("pasting").hidden = from === "dataset";
}

async function list() {
  const found = await ask("/api/reviews?search=" + encodeURIComponent(at("search").value));
  at("found").textContent = `${found.found} found${found.found > found.reviews.length ? `, ${found.reviews.length} listed` : ""}`;
  fill("reviews", ...found.reviews.map((one) => {
    const option = element("option", `${one.id} · ${one.mention || "–"} · ${one.start}`);
    option.value = one.id;
    option.selected = one.id === state.id;
    return option;
  }));
  if (!state.id && found.reviews.length) await pick(found.reviews[0].id);
}

async function pick(id) {
  if (id !== state.id) other();
  state.id = id;
  for (const option of at("reviews").options) option.selected = option.value === id;
  const one = await ask("/api/review?id=" + encodeURIComponent(id));
  const parts = [["id", one.id], ["mention", one.mention], ["header", one.header], ["body", one.body]];
  fill("review", ...parts.flatMap(([name, text]) => [
    element("dt", name), element("dd", text || "–", name === "body" ? "long" : ""),
  ]));
  fill("photos", ...Array.from({ length: one.images }, (_, number) => photo(
    `/api/photo?id=${encodeURIComponent(id)}&number=${number}`, `photo ${number + 1} of the review`,
  )));
  keep();
  await check();
}

function photo(source, name) {
  const image = element("img");
  image.alt = name;
  image.loading = "lazy";
  image.addEventListener("error", () => image.replaceWith(element("span", `${name}: cannot be shown`, "hint")));
  image.src = source;
  return image;
}

async function upload(file) {
  other();
  state.photo = "";
  fill("pasted-photo");
  if (!file) return;
  at("photo-state").textContent = "uploading…";
  state.photo = (await ask("/api/photo", file)).photo;
  at("photo-state").textContent = file.name;
  fill("pasted-photo", photo(URL.createObjectURL(file), "the pasted photo"));
  keep();
}

// Results are of one review: with another one they are gone.
function other() {
  state.now = state.before = null;
  results();
}

// --- the template

async function open(name) {
  const one = await ask("/api/template?name=" + encodeURIComponent(name));
  state.name = one.name;
  state.source = state.loaded = at("source").value = one.source;
  at("templates").value = one.name;
  keep();
  await check();
}

function templates(names) {
  fill("templates", ...names.map((name) => {
    const option = element("option", name);
    option.value = name;
    option.selected = name === state.name;
    return option;
  }));
}

async function check() {
  if (!state.name || (state.from === "dataset" && !state.id)) return;
  const number = ++checks;
  const found = await post("/api/check", { name: state.name, source: state.source, review: review() });
  if (number !== checks) return; // another one has begun since
  at("identity").textContent = found.identity ? `identity ${found.identity}` : "";
  const invalid = !found.identity;
  const lines = found.findings.map((one) => element("li", `${one.code}: ${one.message}`, one.code));
  fill("findings", ...(lines.length ? lines : [element("li", "sound", "sound")]));
  at("run").disabled = at("save").disabled = invalid;
  at("sample").disabled = invalid || !at("progress").hidden;
  prompt(found.prompt, invalid);
}

function prompt(shown, invalid) {
  at("tokens").textContent = invalid ? "" : `${many(shown.requests)}, about ${shown.tokens} prompt tokens; values found by rules`;
  at("prompt").textContent = invalid ? "The template cannot be sent." : shown.text || "Nothing is asked about this review.";
}

async function save() {
  const made = await post("/api/save", { name: at("new-name").value.trim(), source: state.source });
  state.name = made.name;
  state.loaded = state.source;
  templates(made.templates);
  at("said").textContent = `saved as ${made.path}`;
  keep();
}

// --- one review

async function run() {
  at("run").disabled = true;
  at("said").textContent = "running…";
  try {
    const made = await post("/api/run", { name: state.name, source: state.source, review: review() });
    const again = state.now && state.now.template.identity === made.template.identity
      && state.now.template.name === made.template.name;
    if (!again) state.before = state.now;
    state.now = made;
    at("said").textContent = made.template.sent ? "" : "No engine: the prompt is not sent, the answer is by rules.";
    results();
    keep();
  } finally {
    at("run").disabled = false;
  }
}

function results() {
  at("result-of").textContent = state.now ? `of ${state.from === "dataset" ? `review ${state.id}` : "the pasted review"}` : "";
  if (!state.now) return void fill("results", element("p", "Nothing was run yet.", "hint"));
  const shown = [version(state.now, state.before, "now", "This version")];
  if (state.before) shown.push(version(state.before, null, "before", "The version before"));
  fill("results", ...shown);
}

function version(one, before, className, title) {
  const made = element("div", null, `version ${className}`);
  made.append(element("h3", `${title}: ${one.template.name} ${one.template.identity}`));
  made.append(...answer(one), element("h3", "Candidates"), candidates(one, before));
  made.append(element("h3", "Values"), values(one.prediction.attributes));
  const details = element("details");
  details.open = true;
  const summary = one.exchanges.length ? `Prompt and reply (${many(one.exchanges.length)})` : "No request was sent";
  details.append(element("summary", summary));
  if (one.transcript) details.append(element("pre", one.transcript));
  made.append(details);
  return made;
}

// The text "1" is another id than the number 1.
const key = (id) => JSON.stringify(id);

function answer(one) {
  const row = one.prediction;
  const sure = row.confidence === null ? "" : `, confidence ${fixed(row.confidence, 2)}`;
  const lines = [element("p", `${row.state} ${one.linked}${sure}`, "answer")];
  if (row.error) lines.push(element("p", row.error, "bad"));
  if (one.right === true) lines.push(element("p", "right", "good"));
  if (one.right === false) {
    const right = one.right_product || "not in the knowledge base";
    lines.push(element("p", `wrong: the right product is ${right}; ${one.cause} (${one.cause_means})`, "bad"));
  }
  return lines;
}

// Columns for which a narrow window has no room.
const ASIDE = new Set(["retrieval", "image"]);

function table(header, rows) {
  const made = element("table");
  const head = element("thead");
  const line = element("tr");
  line.append(...header.map((text, column) => element("th", text, `${column ? "num" : ""} ${ASIDE.has(text) ? "aside" : ""}`)));
  head.append(line);
  const body = element("tbody");
  body.append(...rows);
  made.append(head, body);
  return made;
}

function candidates(one, before) {
  const compared = one.prediction.candidates.slice(0, one.prediction.compared);
  if (!compared.length) return element("p", "none", "hint");
  const earlier = new Map((before ? before.prediction.candidates : []).map((each) => [key(each.entity_id), each.score]));
  const rows = compared.map((each, place) => {
    const row = element("tr", null, each.entity_id === one.prediction.entity_id ? "chosen" : "");
    const right = one.gold && one.gold.gold === each.entity_id;
    const change = earlier.has(key(each.entity_id)) ? signed(each.score - earlier.get(key(each.entity_id))) : "";
    row.append(
      element("td", `${one.shown[place]}${right ? " ← right" : ""}`, right ? "good" : ""),
      element("td", fixed(each.score), "num"), element("td", fixed(each.retrieval_score), "num aside"),
      element("td", fixed(each.text_score), "num"), element("td", fixed(each.image_score), "num aside"),
    );
    if (before) row.append(element("td", change, "num"));
    return row;
  });
  const header = ["product", "score", "retrieval", "text", "image"];
  return table(before ? [...header, "change"] : header, rows);
}

function values(found) {
  if (!found.length) return element("p", "none", "hint");
  const made = element("ul", null, "plain");
  made.append(...found.map((one) => {
    const where = one.evidence.image ? `photo ${one.evidence.image}` : one.evidence.field;
    return element("li", `${one.key}: ${one.negated ? "not " : ""}${one.value} — “${one.evidence.text}” in ${where}, by ${one.source}`);
  }));
  return made;
}

// --- the sample

async function sample() {
  follow(await post("/api/sample", { name: state.name, source: state.source }));
}

function follow(job) {
  const running = job.state === "running";
  at("sample").disabled = running;
  at("stop").hidden = at("progress").hidden = !running;
  if (running) {
    at("progress").max = job.total;
    at("progress").value = job.done;
    at("sample-state").textContent = `${job.template}: ${job.done} of ${job.total}`;
    setTimeout(() => trying(async () => follow(await ask("/api/sample")), "sample-state"), 400);
    return;
  }
  const said = { none: "", done: "", stopped: "stopped; the next run goes on there", failed: job.error };
  at("sample-state").textContent = said[job.state];
  if (job.state === "done") fill("sample-result", ...outcome(job.result));
}

function figure(name, value, className) {
  const made = element("div", null, "figure");
  made.append(element("b", value, className), element("span", name));
  return made;
}

function outcome(result) {
  const made = [element("p", `${result.template}: ${result.run}`, "hint")];
  const figures = element("div", null, "figures");
  if (result.f1) {
    const [low, high] = [result.f1.low, result.f1.high].map((x) => fixed(100 * x, 1));
    figures.append(figure(`end-to-end F1, % [${low}, ${high}]`, fixed(100 * result.f1.value, 1)));
  }
  const change = result.change;
  if (change) {
    figures.append(
      figure("fixed", change.counts.fixed, "good"), figure("broken", change.counts.broken, "bad"),
      figure("exact p", Number(change.p.toPrecision(3))),
      figure("points of F1", signed(100 * change.difference.value, 1)),
    );
    if (change.failed.now) figures.append(figure("failed", change.failed.now, "bad"));
  }
  figures.append(figure("requests", result.requests), figure("seconds", fixed(result.seconds, 1)));
  made.push(figures);
  if (!change) return [...made, element("p", "The next run is compared with this one.", "hint")];
  made.push(element("p", `against ${result.before.template}: ${result.before.run}`, "hint"));
  for (const name of ["fixed", "broken"]) made.push(...reviews(name, change[name], change.counts[name]));
  if (change.breaks.length) made.push(element("h3", "The largest breaks"), breaks(change.breaks));
  return made;
}

function reviews(name, ids, count) {
  if (!count) return [];
  const row = element("div", null, "ids");
  row.append(...ids.map((id) => {
    const button = element("button", id);
    button.addEventListener("click", () => trying(async () => {
      choose("dataset");
      await pick(id);
      at("review-title").scrollIntoView({ behavior: "smooth" });
    }));
    return button;
  }));
  return [element("h3", count > ids.length ? `${name}: the first ${ids.length} of ${count}` : name), row];
}

function breaks(found) {
  const made = element("ul", null, "plain");
  made.append(...found.map((one) => element(
    "li", `${one.review}: ${one.cause}; right ${one.right || "none of the knowledge base"}, now ${one.chosen || one.state}`,
  )));
  return made;
}

// --- the page

function later(action, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => trying(action), milliseconds);
  };
}

function listen() {
  const soon = later(check, 250);
  const search = later(list, 200);
  at("source").addEventListener("input", () => {
    state.source = at("source").value;
    keep();
    soon();
  });
  for (const id of ["mention", "header", "body"]) at(id).addEventListener("input", () => {
    other();
    keep();
    soon();
  });
  at("search").addEventListener("input", search);
  at("new-name").addEventListener("input", keep);
  at("reviews").addEventListener("change", () => trying(() => pick(at("reviews").value)));
  const take = (file) => trying(async () => {
    await upload(file);
    await check();
  }, "photo-state");
  at("photo").addEventListener("change", () => take(at("photo").files[0]));
  document.addEventListener("paste", (event) => {
    const image = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
    if (!image || state.from !== "paste") return;
    event.preventDefault();
    at("photo").value = "";
    take(image);
  });
  for (const from of ["dataset", "paste"]) at(`from-${from}`).addEventListener("change", () => trying(async () => {
    choose(from);
    other();
    keep();
    await check();
  }));
  at("templates").addEventListener("change", () => {
    const left = state.source === state.loaded || confirm(`Leave the edits of ${state.name}?`);
    if (left) trying(() => open(at("templates").value));
    else at("templates").value = state.name;
  });
  at("run").addEventListener("click", () => trying(run, "said"));
  at("save").addEventListener("click", () => trying(save, "said"));
  at("sample").addEventListener("click", () => trying(sample, "sample-state"));
  at("stop").addEventListener("click", () => trying(() => post("/api/sample/stop", {}), "sample-state"));
}

async function begin() {
  listen();
  restore();
  about = await ask("/api/about");
  at("dataset").textContent = `${about.dataset} · ${about.split}`;
  const engine = about.engine ? `${about.engine} ${about.model}`.trim() : "no engine: templates are linted and rendered, reviews are linked by rules";
  const folder = about.prompts ? `own templates in ${about.prompts}` : "no folder to save templates in (--prompts)";
  at("about").textContent = `${about.reviews} reviews, ${about.products} products; ${engine}; ${folder}`;
  at("sample").textContent = `Run on ${about.sample} reviews`;
  templates(about.templates);
  if (state.name) {
    at("source").value = state.source;
    at("templates").value = state.name;
  } else {
    await open(about.templates.find((name) => name.startsWith("compare/listwise")) || about.templates[0]);
  }
  choose(state.from);
  results();
  await list();
  if (state.from === "dataset" && state.id) await pick(state.id);
  else await check();
  follow(await ask("/api/sample"));
}

trying(begin);
