// The inside of a card: the text with what proves its values, then what the runs made of it, side by side.

const INDEX = block("index");
const SEVERAL = INDEX.runs.length > 1;

// Numbers of the runs that a card shows in full: the first, and the one that the list looks at.
function beside(selected) {
  return selected === 0 ? (SEVERAL ? [0, 1] : [0]) : [0, selected];
}

async function inside(at, selected) {
  const chunk = Math.floor(at / INDEX.chunk);
  const [cards, transcripts] = await Promise.all([unpacked(`cards-${chunk}`), unpacked(`transcripts-${chunk}`)]);
  const card = cards[at % INDEX.chunk];
  const texts = transcripts ? transcripts[at % INDEX.chunk] : [];
  const shown = beside(selected).filter((number) => card.runs[number]);
  return [
    textOf(card, shown),
    answers(card, INDEX.reviews[at]),
    values(card, shown),
    candidates(card, shown),
    prompts(card, shown, texts, chunk >= INDEX.transcribed),
  ].filter(Boolean);
}

function textOf(card, shown) {
  const box = make("div", { class: "text", dir: "auto" });
  for (const [tag, pieces] of [["h4", card.header], ["p", card.body]]) {
    if (pieces.length) {
      box.append(make(tag, null, ...pieces.map((piece) => marked(piece, shown))));
    }
  }
  if (card.cut) {
    box.append(make("p", { class: "none" }, "The text goes on."));
  }
  const photos = card.photos.map((number) => picture(number, "photo of the review")).filter(Boolean);
  return make("div", { class: "review-text" }, photos.length ? make("div", { class: "photos" }, ...photos) : null, box);
}

function marked(piece, shown) {
  const labels = piece.labels.filter(([number]) => shown.includes(number));
  if (!labels.length) {
    return piece.text;
  }
  const runs = [...new Set(labels.map(([number]) => number))];
  const names = labels.map(([number, name]) => (SEVERAL ? `${INDEX.runs[number].letter} ${name}` : name));
  const kind = runs.length < shown.length ? `only r${runs[0] % 8}` : "every";
  return make("mark", { class: kind, title: names.join("; ") }, piece.text);
}

// A picture inside the file; pictures lie in parts of their own, read when one of them is shown.
function picture(number, alt) {
  const part = number === null ? null : kept(`photos-${Math.floor(number / INDEX.pictures)}`, block);
  if (!part) {
    return null;
  }
  const source = `data:image/webp;base64,${part[number % INDEX.pictures]}`;
  return make("img", { src: source, alt, loading: "lazy" });
}

function product(card, at) {
  const one = card.products[at];
  return [make("bdi", null, one.name), " ", make("span", { class: "id" }, `#${one.id}`)];
}

function answers(card, review) {
  const right = card.products.findIndex((one) => one.right);
  const rows = card.runs.map((run, number) => {
    const [outcome, cause, state, confidence] = review.runs[number] || ["", "", "", null];
    const said = run === null ? ["not in this run"] : run.answer === null ? [words(state)] : product(card, run.answer);
    return make("tr", null,
      SEVERAL ? make("td", null, badge(number, INDEX.runs[number].letter)) : null,
      make("td", null, run ? make("span", { class: `badge ${outcome}` }, cause ? words(cause) : outcome) : ""),
      make("td", { class: "name" }, ...said, run && run.error ? make("div", { class: "error" }, run.error) : ""),
      make("td", { class: "num" }, digits(confidence, 3)),
      make("td", { class: "num" }, run ? `${run.tokens[0]} + ${run.tokens[1]}` : ""),
      make("td", { class: "num" }, run ? digits(run.seconds, 2) : ""));
  });
  const wanted = make("tr", { class: "is-right" },
    SEVERAL ? make("td") : null,
    make("td", null, make("span", { class: "badge right" }, "right answer")),
    make("td", { class: "name" }, ...(card.in_kb && right >= 0 ? product(card, right) : ["not in the KB"])),
    make("td", { class: "hint", colspan: "3" }, make("bdi", null, card.category)));
  const names = [...(SEVERAL ? ["run"] : []), "", "answer", "confidence", "tokens", "seconds"];
  return table("answers", names, [...rows, wanted], ["confidence", "tokens", "seconds"]);
}

function values(card, shown) {
  const found = new Map();
  shown.forEach((number, column) => {
    for (const value of card.runs[number].values) {
      if (!found.has(value.name)) {
        found.set(value.name, shown.map(() => []));
      }
      found.get(value.name)[column].push(`${value.place} (${value.source})`);
    }
  });
  if (!found.size) {
    return make("p", { class: "none" }, "No value was found in the text or the photos.");
  }
  const rows = [...found].map(([name, cells]) => make("tr", null,
    make("th", { scope: "row" }, make("span", { class: "chip value" }, name)),
    ...cells.map((places) => make("td", null, ...places.map((place) => make("div", null, make("bdi", null, place))),
      places.length ? "" : make("span", { class: "none" }, "–")))));
  return table("values", ["value", ...(SEVERAL ? letters(shown) : ["where"])], rows, []);
}

function letters(shown) {
  return shown.map((number) => badge(number, INDEX.runs[number].letter));
}

const SCORES = ["rank", "retrieval", "text", "image", "score"];

function candidates(card, shown) {
  const scored = shown.map((number) => new Map(card.runs[number].candidates.map((one) => [one.product, one])));
  const listed = card.products.map((_, at) => at).filter((at) => scored.some((one) => one.has(at)));
  if (!listed.length) {
    return make("p", { class: "none" }, "No candidates.");
  }
  const photos = card.products.some((one) => one.photo !== null);
  const rows = listed.map((at) => {
    const one = card.products[at];
    const chosen = shown.filter((number) => card.runs[number].answer === at);
    return make("tr", { class: one.right ? "is-right" : null },
      photos ? make("td", { class: "thumb" }, picture(one.photo, "photo of the product")) : null,
      make("td", { class: "name" },
        one.right ? make("span", { class: "badge right" }, "right") : "",
        ...chosen.map((number) => make("span", { class: `badge ${one.right ? "right" : "wrong"}` },
          SEVERAL ? `answer of ${INDEX.runs[number].letter}` : "answer")),
        ...product(card, at)),
      ...scored.flatMap((run) => scoreCells(run.get(at))));
  });
  const group = [...SCORES, "attributes"];
  const head = make("thead", null);
  if (shown.length > 1) {
    head.append(make("tr", null, ...(photos ? [make("th")] : []), make("th"),
      ...shown.map((number) => make("th", { colspan: String(group.length), class: "edge" }, badge(number, INDEX.runs[number].letter)))));
  }
  head.append(make("tr", null, ...(photos ? [make("th")] : []), make("th", null, "candidate"),
    ...shown.flatMap(() => group.map((name, i) => make("th", { class: `${i < 5 ? "num" : ""}${i === 0 ? " edge" : ""}` }, name)))));
  return make("div", { class: "scroll", tabindex: "0" },
    make("table", { class: `candidates${shown.length > 1 ? " pair" : ""}` }, head, make("tbody", null, ...rows)));
}

function scoreCells(one) {
  if (!one) {
    return [make("td", { class: "none edge", colspan: String(SCORES.length + 1) }, "not compared")];
  }
  const numbers = [one.retrieval, one.text, one.image, one.score].map((x) => [digits(x, 3)]);
  numbers[1].push(...Object.entries(one.comparators).map(([name, x]) => make("div", { class: "portion" }, `${name} ${digits(x, 2)}`)));
  return [
    make("td", { class: "num edge" }, String(one.rank)),
    ...numbers.map((parts) => make("td", { class: "num" }, ...parts)),
    make("td", { class: "verdicts" },
      ...one.agree.map((key) => make("span", { class: "chip agree", title: "agree" }, `✓ ${key}`)),
      ...one.conflict.map((key) => make("span", { class: "chip conflict", title: "conflict" }, `✗ ${key}`)),
      one.unknown ? make("span", { class: "chip unknown" }, `${one.unknown} unknown`) : ""),
  ];
}

function prompts(card, shown, texts, leftOut) {
  const parts = shown.map((number) => {
    const run = card.runs[number];
    const text = leftOut && run.tokens[0] ? "left out to keep the file small: ameli-llm show prints them" : texts[number];
    const name = `prompts and replies${SEVERAL ? ` of ${INDEX.runs[number].letter}` : ""}`;
    return text && make("details", { class: "raw" }, make("summary", null, name),
      make("pre", { class: "transcript", dir: "auto", tabindex: "0" }, text));
  }).filter(Boolean);
  return parts.length ? make("div", { class: "sides" }, ...parts) : null;
}

function table(kind, names, rows, numbers) {
  const head = names.map((name) => make("th", { class: numbers.includes(name) ? "num" : null }, name));
  return make("div", { class: "scroll", tabindex: "0" },
    make("table", { class: kind }, make("thead", null, make("tr", null, ...head)), make("tbody", null, ...rows)));
}

function words(name) {
  return name.replaceAll("_", " ");
}
