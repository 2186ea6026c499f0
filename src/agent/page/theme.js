// Runs before the first paint, so that no page flashes in the wrong colours or language.
// A classic script on purpose: modules run after the document is parsed.
(() => {
  const root = document.documentElement;
  const read = (name) => {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // Storage may be switched off: the defaults serve.
    }
  };
  const theme = read("sealpost.theme");
  if (theme === "dark" || theme === "light") root.dataset.theme = theme;
  const language = read("sealpost.language") ?? navigator.language;
  root.lang = language.toLowerCase().startsWith("zh") ? "zh" : "en";
  root.dataset.booting = "";
})();
