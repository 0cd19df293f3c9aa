// The data that the page carries: JSON in elements that no browser runs, most of it compressed.

const KEPT = new Map();
const MOST_KEPT = 40;

function block(id) {
  const element = document.getElementById(id);
  return element && JSON.parse(element.textContent);
}

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

// What was read last is kept: cards side by side in the list lie in the same parts.
function kept(id, read) {
  if (!KEPT.has(id)) {
    if (KEPT.size >= MOST_KEPT) {
      KEPT.delete(KEPT.keys().next().value);
    }
    KEPT.set(id, read(id));
  }
  return KEPT.get(id);
}

// The content of a compressed part, null where the page has none.
function unpacked(id) {
  return kept(id, async () => {
    const packed = block(id);
    return packed === null ? null : inflate(packed);
  });
}

// An element with attributes and children. Strings become text, never markup.
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== false) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function badge(number, letter) {
  return make("span", { class: `run r${number % 8}` }, letter);
}

// A number with its decimals, a dash where there is none.
function digits(number, decimals) {
  return number === null ? "–" : number.toFixed(decimals);
}
