// Under a drawing that tells in which order backward visited its boxes: buttons that go through the visits one by one.
// The arrow keys do the same while one of them has the focus.

export function addSteps(drawing) {
  const boxes = [...drawing.querySelectorAll("[data-visit], [data-complete]")];
  const visited = boxes.filter((box) => box.dataset.visit);
  const last = Math.max(...visited.map((box) => Number(box.dataset.visit)));
  const bar = document.createElement("div");
  bar.className = "steps";
  const button = (text, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", action);
    bar.append(made);
    return made;
  };
  const told = document.createElement("span");
  told.setAttribute("aria-live", "polite");
  let step = null; // the whole picture, until somebody begins to walk

  const show = (wanted) => {
    step = Math.min(Math.max(wanted, 0), last);
    for (const box of boxes) {
      const when = Number(box.dataset.visit ?? box.dataset.complete);
      box.classList.toggle("later", Boolean(box.dataset.visit) && when > step);
      box.classList.toggle("now", Boolean(box.dataset.visit) && when === step);
      box.querySelector("[data-gradient]")?.classList.toggle("unknown", when > step);
    }
    told.textContent = step ? `Visit ${step} of ${last}: ${said("visit")}` : "Before backward";
    const complete = said("complete");
    if (complete) told.textContent += `. Complete: ${complete}`;
    start.ariaDisabled = back.ariaDisabled = String(step === 0);
    next.ariaDisabled = String(step === last);
    bringIntoView(drawing, drawing.querySelector(".now"));
  };
  const said = (kind) => {
    const these = boxes.filter((box) => Number(box.dataset[kind]) === step);
    return these.map((box) => box.dataset.words).join("; ");
  };
  const move = (by) => show(step === null ? (by > 0 ? 1 : last - 1) : step + by);
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) move(by);
  });
  const start = button("From the start", () => show(0));
  const back = button("Back", () => move(-1));
  const next = button("Next visit", () => move(1));
  bar.append(told);
  drawing.after(bar);
  return bar;
}

function bringIntoView(drawing, box) {
  if (!box) return;
  const [frame, place] = [drawing.getBoundingClientRect(), box.getBoundingClientRect()];
  drawing.scrollLeft += place.left - frame.left - (frame.width - place.width) / 2;
}

document.querySelectorAll(".drawing").forEach((drawing) => {
  if (drawing.querySelector("[data-visit]")) addSteps(drawing);
});
