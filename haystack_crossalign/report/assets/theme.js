// Runs in the head, so that a chosen theme holds from the first paint on.
document.documentElement.classList.add("js");
try {
  const theme = localStorage.getItem("crossalign-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (error) {
  // Storage can be forbidden for files; the page then follows the system.
}
