// Before the first paint, so that a chosen theme does not flash. Storage may be forbidden.
try {
  const theme = localStorage.getItem("rclaw.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
