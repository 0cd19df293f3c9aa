// The keyboard: j and k to the next and previous review, Escape closes, / searches; Enter is the button's own.

function place() {
  const open = page.list.querySelector('[aria-expanded="true"]');
  const current = open || document.activeElement?.closest?.("article.review > .row");
  return { open, at: current ? matches.indexOf(Number(current.parentElement.dataset.at)) : -1 };
}

async function step(by) {
  const { open, at } = place();
  const next = Math.min(Math.max(at + by, 0), matches.length - 1);
  if (next < 0 || next === at) {
    return;
  }
  if (next >= rendered) {
    grow(PAGE);
  }
  const article = element(matches[next]);
  if (open) {
    await toggle(INDEX.reviews[matches[next]].id);
    article.scrollIntoView();
  }
  article.firstChild.focus({ preventScroll: Boolean(open) });
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => page["f-q"].focus(),
  Escape: () => {
    const closed = place().open;
    if (closed) {
      toggle(state.review);
      closed.focus();
    }
  },
};

if (page.list) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (typing && event.key === "Escape") {
      event.target.blur();
    } else if (!typing && Object.hasOwn(KEYS, event.key)) {
      event.preventDefault();
      KEYS[event.key]();
    }
  });
}
