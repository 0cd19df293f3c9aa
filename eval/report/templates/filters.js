// What the list can be narrowed to: outcome, change against the first run, cause, slice or category.

const SHOWS = {
  right: "right", wrong: "wrong", failed: "failed", fixed: "fixed", broken: "broken", same: "same", differ: "differs in any run",
};

function outcome(review, number) {
  return review.runs[number] ? review.runs[number][0] : "";
}

// What a run did to a review, against the first: as compare counts it, over reviews that both answered.
function change(review, number) {
  const before = outcome(review, 0);
  const after = outcome(review, number);
  if (!before || !after || number === 0) {
    return "";
  }
  if (before === "failed" || after === "failed") {
    return "failed";
  }
  return before === after ? "same" : after === "right" ? "fixed" : "broken";
}

const TESTS = {
  "": () => true,
  right: (review, number) => outcome(review, number) === "right",
  wrong: (review, number) => outcome(review, number) === "wrong" || outcome(review, number) === "failed",
  failed: (review, number) => (number === 0 ? outcome(review, 0) : change(review, number)) === "failed",
  fixed: (review, number) => change(review, number) === "fixed",
  broken: (review, number) => change(review, number) === "broken",
  same: (review, number) => change(review, number) === "same",
  differ: (review) => new Set(review.runs.map((run) => run && run[0])).size > 1,
};

function inPart(review, part) {
  const [kind, name] = [part.slice(0, part.indexOf(":")), part.slice(part.indexOf(":") + 1)];
  return kind === "category" ? review.category === name : review.slices.some((number) => INDEX.slices[number] === name);
}

function options(select, none, groups) {
  const parts = groups.filter(([, items]) => items.length).map(([label, items]) => {
    const made = items.map(([value, text]) => make("option", { value }, text));
    return label ? [make("optgroup", { label }, ...made)] : made;
  });
  select.replaceChildren(make("option", { value: "" }, none), ...parts.flat());
}

// Shows what is chosen; what the field does not offer, which an address may ask for, is dropped.
function settle(name) {
  const field = page[`f-${name}`];
  field.value = state[name];
  if (field.value !== state[name]) {
    state[name] = field.value = "";
  }
}

// What can be chosen, with the number of reviews of the selected run.
function renderFilters() {
  const number = selected();
  const counted = (test) => INDEX.reviews.filter(test).length;
  const offered = ["right", "wrong", "failed", ...(number ? ["fixed", "broken", "same"] : []), ...(SEVERAL ? ["differ"] : [])];
  options(page["f-show"], "all reviews", [["", offered.map((name) =>
    [name, `${SHOWS[name]} (${counted((review) => TESTS[name](review, number))})`])]]);
  const causes = Object.entries(INDEX.causes)
    .map(([name, text]) => [name, text, counted((review) => review.runs[number] && review.runs[number][1] === name)])
    .filter(([name, , count]) => count || name === state.cause);
  options(page["f-cause"], "every cause", [["", causes.map(([name, text, count]) => [name, `${text} (${count})`])]]);
  settle("show");
  settle("cause");
}

function renderParts() {
  const categories = [...new Set(INDEX.reviews.map((review) => review.category))].filter(Boolean).sort();
  options(page["f-part"], "every part", [
    ["slice", INDEX.slices.map((name) => [`slice:${name}`, name])],
    ["category", categories.map((name) => [`category:${name}`, name])],
  ]);
}
