"use strict";

const $ = (id) => document.getElementById(id);
const mostBytes = Number(document.querySelector("main").dataset.mostBytes);

// What is asked for at the moment: a file or an address, and the way to give it up.
let asked = null;
let aborting = null;

// A word of a sentence with its probability; the less likely, the thicker the line under it.
function wordOf({ text, probability }, tag) {
  const word = document.createElement(tag);
  word.className = "word";
  word.style.setProperty("--doubt", String(1 - (probability ?? 0)));
  const note = document.createElement("small");
  note.textContent = percent(probability);
  note.setAttribute("aria-hidden", "true");
  word.append(text, note);
  return word;
}

// Things with spaces between them.
function spaced(all) {
  return all.flatMap((one, at) => (at > 0 ? [" ", one] : [one]));
}

function percent(probability) {
  if (probability === null) return "unknown";
  const share = 100 * probability;
  return share > 0 && share < 1 ? "< 1 %" : `${Math.round(share)} %`;
}

function milliseconds(seconds) {
  const all = 1000 * seconds;
  return all < 9.5 ? `${all.toFixed(1)} ms` : all < 9999.5 ? `${Math.round(all)} ms` : `${seconds.toFixed(1)} s`;
}

// Where the middle of the weights lies, in words.
function place({ rows, columns }, weights) {
  let sum = 0, x = 0, y = 0;
  weights.forEach((weight, at) => {
    sum += weight;
    x += weight * ((at % columns) + 0.5) / columns;
    y += weight * (Math.floor(at / columns) + 0.5) / rows;
  });
  if (!(sum > 0)) return "nowhere";
  const third = (share, names) => names[Math.min(2, Math.floor(3 * share))];
  const down = third(y / sum, ["top", "middle", "bottom"]), across = third(x / sum, ["left", "middle", "right"]);
  return down === across ? "the middle" : down === "middle" ? `the ${across}` : across === "middle" ? `the ${down}` : `the ${down} ${across}`;
}

// Darkens the picture where the network did not look.
function shade(attention, weights) {
  const canvas = $("attention"), { rows, columns, over } = attention;
  const most = Math.max(...weights);
  canvas.width = columns;
  canvas.height = rows;
  const pixels = new ImageData(columns, rows);
  weights.forEach((weight, at) => {
    pixels.data[4 * at + 3] = Math.round(215 * (1 - (most > 0 ? weight / most : 0)));
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  for (const side of ["left", "top", "width", "height"]) canvas.style[side] = `${100 * over[side]}%`;
  canvas.hidden = false;
}

// Lets words of the caption show where the network looked, by pointer, focus and press.
function follow(words, attention) {
  let kept = null;
  const show = (at) => {
    // Words that have made room for others may still lose the pointer or the focus.
    if (!words[0].isConnected) return;
    words.forEach((word, i) => word.setAttribute("aria-pressed", String(i === kept)));
    if (at === null || at === undefined) {
      $("attention").hidden = true;
      $("looking").textContent = "Point at a word, or move to it with the Tab key, to see where the network looked.";
      return;
    }
    shade(attention, attention.weights[at]);
    const word = words[at].firstChild.textContent;
    $("looking").textContent = `For “${word}” the network looked most at ${place(attention, attention.weights[at])}.`;
  };
  words.forEach((word, at) => {
    word.addEventListener("pointerenter", () => show(at));
    word.addEventListener("pointerleave", () => show(kept));
    word.addEventListener("focus", () => show(at));
    word.addEventListener("blur", () => show(kept));
    word.addEventListener("click", () => { kept = kept === at ? null : at; show(kept ?? at); });
  });
  show(null);
}

function tell(text, busy) {
  $("status").textContent = text;
  $("status").classList.toggle("busy", Boolean(busy));
  // What is shown elsewhere is only spoken here.
  $("status").classList.toggle("spoken", !busy);
  document.querySelector("main").setAttribute("aria-busy", String(Boolean(busy)));
}

// A message as a sentence.
function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.?$/, ".");
}

function fail(problem) {
  tell("", false);
  $("result").hidden = $("said").hidden = true;
  $("problem-error").textContent = sentence(problem.error);
  const more = [];
  if (problem.expected) more.push(sentence(`expected ${problem.expected}`));
  if (problem.found) more.push(sentence(`found ${problem.found}`));
  $("problem-more").textContent = more.join(" ");
  $("problem-help").textContent = problem.help ? `To try: ${problem.help.replace(/\.?$/, ".")}` : "";
  $("problem").hidden = false;
}

function show(answer) {
  const [best, ...others] = answer.alternatives;
  const attention = answer.attention;
  const caption = $("caption");
  const words = best.words.map((word, at) => {
    const button = wordOf(word, "button");
    button.type = "button";
    const looks = attention ? `, looked at ${place(attention, attention.weights[at])}` : "";
    button.setAttribute("aria-label", `${word.text}, ${percent(word.probability)}${looks}`);
    return button;
  });
  caption.replaceChildren(...spaced(words));
  caption.classList.toggle("looks", Boolean(attention));
  if (words.length === 0) caption.textContent = "(The network says nothing.)";
  $("alternatives").replaceChildren(...others.map((way) => {
    const line = document.createElement("li");
    const chance = document.createElement("small");
    chance.textContent = ` ln p ${way.log_probability === null ? "unknown" : way.log_probability.toFixed(2).replace("-", "\u2212")}`;
    const words = way.words.map((word) => wordOf(word, "span"));
    line.append(...(words.length > 0 ? spaced(words) : ["(nothing)"]), chance);
    return line;
  }));
  $("others").hidden = others.length === 0;
  $("attention").hidden = true;
  $("looking").textContent = "";
  if (attention && words.length > 0) follow(words, attention);
  const { reading, waiting, captioning, total } = answer.seconds;
  $("took").textContent = `Took ${milliseconds(total)}: ${milliseconds(reading)} to read the picture, ` +
    `${milliseconds(waiting)} in the queue, ${milliseconds(captioning)} in the network.`;
  if ($("picture").hidden) $("frame").style.aspectRatio = `${answer.picture.width} / ${answer.picture.height}`;
  $("result").hidden = $("said").hidden = false;
  $("problem").hidden = true;
  tell(`Caption: ${answer.caption || "nothing"}`, false);
}

// Shows a picture that is at hand, or says that it is not.
function frame(file) {
  const picture = $("picture");
  if (picture.src.startsWith("blob:")) URL.revokeObjectURL(picture.src);
  $("attention").hidden = true;
  $("looking").textContent = "";
  $("frame").style.aspectRatio = "";
  picture.hidden = file === null;
  $("unseen").textContent = "A picture at an address is not shown here.";
  $("unseen").hidden = file !== null;
  if (file === null) picture.removeAttribute("src"); else picture.src = URL.createObjectURL(file);
  $("result").hidden = false;
}

// As large as there is room for, so that where the network looked is seen.
$("picture").addEventListener("load", () => {
  const picture = $("picture"), { naturalWidth, naturalHeight } = picture;
  const scale = Math.min($("figure").clientWidth / naturalWidth, 0.7 * innerHeight / naturalHeight, 3);
  picture.style.width = `${Math.max(1, Math.round(scale * naturalWidth))}px`;
});

// What this browser cannot show the server may still read.
$("picture").addEventListener("error", () => {
  $("picture").hidden = true;
  $("unseen").textContent = "This browser cannot show the picture.";
  $("unseen").hidden = false;
});

async function ask(picture) {
  asked = picture;
  aborting?.abort();
  const aborts = new AbortController();
  aborting = aborts;
  const isFile = picture instanceof Blob;
  frame(isFile ? picture : null);
  $("problem").hidden = true;
  $("said").hidden = true;
  if (isFile && picture.size > mostBytes) {
    fail({ error: "the picture is too large", expected: `at most ${mostBytes} bytes`, found: `${picture.size} bytes`, help: "save it with fewer pixels" });
    return;
  }
  tell(isFile ? "Captioning the picture …" : "Fetching the picture …", true);
  const beam = Number($("beam").value);
  const request = { method: "POST", signal: aborts.signal };
  if (isFile) {
    const form = new FormData();
    form.append("picture", picture, picture.name || "picture");
    form.append("beam", String(beam));
    request.body = form;
  } else {
    request.body = JSON.stringify({ url: picture, beam });
    request.headers = { "Content-Type": "application/json" };
  }
  try {
    const response = await fetch("/api/caption", request);
    const answer = await response.json();
    if (aborting !== aborts) return;
    if (response.ok) show(answer); else fail(answer);
  } catch (fault) {
    if (aborting !== aborts || fault.name === "AbortError") return;
    fail({ error: "the server does not answer", help: "see whether it still runs" });
  }
}

for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) ask(file);
    // The same picture can be chosen again.
    event.target.value = "";
  });
}
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const url = $("url").value.trim();
  if (url) ask(url);
});
$("beam").addEventListener("change", () => { if (asked) ask(asked); });
$("again").addEventListener("click", () => { if (asked) ask(asked); });

// The first picture of what was dropped or pasted, or else an address.
function taken(data) {
  const file = [...(data?.files ?? [])].find((file) => file.type.startsWith("image/")) ?? data?.files?.[0];
  const text = (data?.getData("text/uri-list") || data?.getData("text/plain") || "").trim();
  return file ?? (/^https?:\/\/\S+$/i.test(text) ? text : null);
}
let inside = 0;
document.addEventListener("dragenter", (event) => { event.preventDefault(); inside += 1; $("drop").hidden = false; });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("dragleave", () => { inside = Math.max(0, inside - 1); if (inside === 0) $("drop").hidden = true; });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  $("drop").hidden = true;
  const picture = taken(event.dataTransfer);
  if (picture) ask(picture); else fail({ error: "what was dropped is no picture", help: "drop a JPEG, PNG or WebP file" });
});
document.addEventListener("paste", (event) => {
  const picture = taken(event.clipboardData);
  // An address that is pasted into the field for addresses goes there.
  if (!picture || (event.target === $("url") && typeof picture === "string")) return;
  event.preventDefault();
  ask(picture);
});
