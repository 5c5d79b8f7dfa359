// What HTML and htmx cannot do by themselves: dialogs, moments in the reader's own time, the theme, and a word when the connection is lost.

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function spellMoments() {
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent.trim();
    time.textContent = moments.format(new Date(time.dateTime));
  }
}

// -- dialogs: opened as modal ones, so that the browser keeps the focus inside and Escape closes them

let opener = null;
let before = { focused: null, scrolled: 0 };

function openDialog() {
  const dialog = document.querySelector("dialog[data-modal]");
  if (!dialog || dialog.matches(":modal")) return;
  dialog.removeAttribute("open");
  dialog.showModal();
  const focused = before.focused && document.getElementById(before.focused);
  const again = focused && dialog.contains(focused);
  (again ? focused : dialog.querySelector("[data-close]")).focus();
  dialog.querySelector(".dialog-body").scrollTop = again ? before.scrolled : 0;
  dialog.addEventListener("close", () => {
    dialog.remove();
    document.getElementById(opener)?.focus();
  });
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-close]") && event.target.closest("dialog")) {
    event.preventDefault();
    event.target.closest("dialog").close();
  }
  if (event.target.closest("[data-theme-toggle]")) {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    const system = matchMedia("(prefers-color-scheme: dark)").matches;
    const chosen = document.documentElement.dataset.theme ?? (dark || system ? "dark" : "light");
    const other = chosen === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    try {
      localStorage.setItem("theme", other);
    } catch {
      // It holds for this page.
    }
  }
});

document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-tick-all]")) return;
  for (const box of document.querySelectorAll("input[name=vm]:enabled")) box.checked = event.target.checked;
});

document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) event.preventDefault();
  else if (event.target.method === "post") event.target.dataset.sent = "true";
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// -- fragments: what was unfolded stays unfolded, and the dialog's focus stays where it was

const unfolded = new Set();

document.addEventListener("toggle", (event) => {
  if (event.target.matches?.("details[id]")) unfolded[event.target.open ? "add" : "delete"](event.target.id);
}, true);

function afterSwap() {
  for (const id of unfolded) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  spellMoments();
  openDialog();
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const live = event.target.id === "live";
  if (live && document.hidden) event.preventDefault();
  if (!live && !event.target.closest("dialog")) opener = event.target.id;
});
document.addEventListener("htmx:beforeSwap", () => {
  before = { focused: document.activeElement?.id, scrolled: document.querySelector(".dialog-body")?.scrollTop ?? 0 };
});
document.addEventListener("htmx:oobAfterSwap", spellMoments);
document.addEventListener("htmx:afterSwap", afterSwap);

// -- the connection

const lost = document.getElementById("lost");

function connected(isConnected) {
  if (isConnected !== lost.hidden && !isConnected) document.getElementById("lost-since").textContent = moments.format(new Date());
  if (isConnected || lost.hidden) lost.hidden = isConnected;
}

function unanswered() {
  connected(false);
}

function refused(event) {
  const { elt, xhr } = event.detail;
  if (xhr.status >= 500 || xhr.status === 429) unanswered();
  // A whole page tells what a fragment cannot.
  else if (elt.id === "live") location.reload();
  else location.assign(elt.getAttribute("hx-get"));
}

document.addEventListener("htmx:sendError", unanswered);
document.addEventListener("htmx:timeout", unanswered);
document.addEventListener("htmx:responseError", refused);
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.successful) connected(true);
});

afterSwap();
