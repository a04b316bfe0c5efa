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
  // A form's empty fields, and columns nobody chose, only lengthen the URL.
  function off(field) { field.disabled = true; field.dataset.off = ""; }
  document.querySelectorAll("form[method=get]:not([data-try])").forEach(function (form) {
    form.addEventListener("submit", function () {
      var fields = Array.prototype.slice.call(form.elements);
      fields.forEach(function (field) { if (field.name && field.value === "") off(field); });
      var boxes = fields.filter(function (field) { return field.type === "checkbox" && !field.disabled; });
      var areAsFound = boxes.every(function (box) { return box.checked === box.defaultChecked; });
      if (areAsFound && !/[?&]cols=/.test(location.search)) boxes.forEach(off);
    });
  });
  window.addEventListener("pageshow", function (event) {
    if (!event.persisted) return;
    document.querySelectorAll("[data-off]").forEach(function (field) {
      field.disabled = false;
      field.removeAttribute("aria-busy");
      delete field.dataset.off;
    });
  });
  // A route's answer is shown below its form.
  document.querySelectorAll("form[data-try]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      var query = new URLSearchParams();
      new FormData(form).forEach(function (value, name) { if (value !== "") query.append(name, value); });
      var url = form.getAttribute("action") + (String(query) ? "?" + query : "");
      var shown = form.querySelector(".answer");
      shown.hidden = false;
      shown.textContent = "GET " + url + " …";
      fetch(url).then(function (answer) {
        return answer.text().then(function (text) {
          try { text = JSON.stringify(JSON.parse(text), null, 2); } catch (e) { /* It is no JSON. */ }
          if (text.length > 20000) text = text.slice(0, 20000) + "\n… cut here; open " + answer.url + " for the rest";
          shown.textContent = "GET " + url + "\n" + answer.status + " " + (answer.headers.get("content-type") || "") + "\n\n" + text;
        });
      }).catch(function (error) { shown.textContent = "GET " + url + "\n" + error; });
    });
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
      setTimeout(function () { off(button); }, 0);
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
      var search = document.querySelector("input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });
})();
