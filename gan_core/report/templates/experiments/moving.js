// The samples of a training moment by moment, animations that begin on request, and buttons that copy.
const quiet = matchMedia("(prefers-reduced-motion: reduce)");
const PACE = 700; // milliseconds a moment

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

// So many images a row that all rows are full where that is possible, and the whole about square.
function imagesAcross(count) {
  const least = Math.ceil(Math.sqrt(count));
  for (let across = least; across <= 2 * least; across += 1) if (count % across === 0) return across;
  return least;
}

function drawMoment(canvas, strip, described, moment) {
  // The strip may have been shrunk for the page.
  const rows = described.images_seen.length;
  const whole = described.pitch * described.columns - (described.pitch - described.side) + described.left;
  const scale = strip.naturalWidth / whole;
  const across = imagesAcross(described.columns);
  const side = Math.max(1, Math.round(described.side * scale));
  const gap = Math.max(1, Math.round((described.pitch - described.side) * scale));
  canvas.width = across * (side + gap) - gap;
  canvas.height = Math.ceil(described.columns / across) * (side + gap) - gap;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  const top = Math.min(moment, rows - 1) * described.pitch * scale;
  for (let column = 0; column < described.columns; column += 1) {
    const left = (described.left + column * described.pitch) * scale;
    const place = [(column % across) * (side + gap), Math.floor(column / across) * (side + gap)];
    context.drawImage(strip, left, top, described.side * scale, described.side * scale, ...place, side, side);
  }
}

function makePlayer(place) {
  const described = JSON.parse(place.firstElementChild.textContent);
  const strip = document.getElementById(place.dataset.strip);
  const last = described.images_seen.length - 1;
  const canvas = element("canvas", { role: "img" });
  const play = element("button", { type: "button", textContent: "Play" });
  const slider = element("input", { type: "range", min: 0, max: last, value: last });
  const told = element("output", {});
  let timer = null;
  const show = (moment) => {
    slider.value = moment;
    const seen = `${described.images_seen[moment].toLocaleString("en")} images seen`;
    told.textContent = seen;
    slider.setAttribute("aria-valuetext", seen);
    canvas.setAttribute("aria-label", `Samples of ${place.dataset.name} after ${seen}`);
    drawMoment(canvas, strip, described, moment);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === last) show(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      show(Math.min(next, last));
      if (next >= last) stop();
    }, quiet.matches ? 3 * PACE : PACE);
    return undefined;
  });
  slider.setAttribute("aria-label", `Moment of the training of ${place.dataset.name}`);
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  const controls = element("div", { className: "controls" });
  controls.append(play, slider, told);
  place.replaceChildren(canvas, controls);
  place.hidden = false;
  show(last);
}

document.querySelectorAll(".player").forEach((place) => {
  const strip = document.getElementById(place.dataset.strip);
  strip.decode().then(() => makePlayer(place), () => {});
});

document.querySelectorAll(".animated").forEach((place) => {
  const image = place.querySelector("img");
  const button = place.querySelector("button");
  const still = image.src;
  button.addEventListener("click", () => {
    const moves = image.src === still;
    image.src = moves ? image.dataset.moving : still;
    button.textContent = moves ? "Stop" : "Play";
    button.setAttribute("aria-pressed", String(moves));
  });
});

async function copy(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Where a page from a file may not write to the clipboard, what is selected can still be copied.
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

document.querySelectorAll(".copied").forEach((place) => {
  const button = place.querySelector("button");
  const source = place.querySelector("pre");
  button.addEventListener("click", async () => {
    const done = await copy(source.textContent, source);
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
});
