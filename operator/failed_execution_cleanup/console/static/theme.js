// Before anything is drawn: the theme a person chose here, if any. Else the browser's own counts.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing shows its own theme.
}
