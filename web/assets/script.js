// Comfort only: every page works without it.
(function () {
  "use strict";
  var root = document.documentElement;
  var key = "provenance-theme";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var kept = null;
  try { kept = localStorage.getItem(key); } catch (e) { /* No storage: the system's choice. */ }
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  var button = document.getElementById("theme");
  function isDark() { return (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark"; }
  function label() { button.textContent = isDark() ? "Light" : "Dark"; button.title = "Switch to the " + button.textContent.toLowerCase() + " theme"; }
  if (button) {
    button.hidden = false;
    label();
    dark.addEventListener("change", label);
    button.addEventListener("click", function () {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem(key, root.dataset.theme); } catch (e) { /* It holds for this page. */ }
      label();
    });
  }
  document.querySelectorAll("select[data-submit]").forEach(function (select) {
    select.addEventListener("change", function () { select.form.requestSubmit(); });
  });
  // A form's empty fields only lengthen the URL.
  document.querySelectorAll("form[method=get]").forEach(function (form) {
    form.addEventListener("submit", function () {
      Array.prototype.forEach.call(form.elements, function (field) {
        if (field.name && field.value === "") field.disabled = true;
      });
    });
  });
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) document.querySelectorAll("form [disabled]").forEach(function (field) { if (field.type !== "checkbox") field.disabled = false; field.removeAttribute("aria-busy"); });
  });
  // A scan under way is looked at again, in place.
  function again() {
    var progress = document.querySelector("#progress[data-again]");
    if (!progress) return;
    setTimeout(function () {
      fetch(location.href, { credentials: "same-origin" }).then(function (answer) {
        return answer.ok ? answer.text() : Promise.reject();
      }).then(function (text) {
        var next = new DOMParser().parseFromString(text, "text/html").getElementById("progress");
        if (next && next.textContent !== progress.textContent) progress.replaceWith(next);
      }).catch(function () { /* The next look may do. */ }).then(again);
    }, Number(progress.dataset.again) * 1000);
  }
  again();
  // A form that does something is sent once.
  document.querySelectorAll("form[method=post]").forEach(function (form) {
    form.addEventListener("submit", function () {
      var button = form.querySelector("button");
      button.setAttribute("aria-busy", "true");
      setTimeout(function () { button.disabled = true; }, 0);
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      var search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
})();
