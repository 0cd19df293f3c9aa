"use strict";
(function () {
  var items = Array.from(document.querySelectorAll("fieldset.item"));
  var state = document.getElementById("state");
  var annotator = document.getElementById("annotator");
  var saved = true;

  function answers() {
    var found = {};
    items.forEach(function (item) {
      var chosen = item.querySelector("input[type=radio]:checked");
      if (chosen) { found[item.dataset.item] = chosen.value; }
    });
    return found;
  }

  function show() {
    state.textContent = Object.keys(answers()).length + " of " + items.length + " answered";
  }

  document.addEventListener("change", function (event) {
    if (event.target.type === "radio") { saved = false; show(); }
  });

  document.getElementById("save").addEventListener("click", function () {
    if (!annotator.value.trim()) { state.textContent = "Please enter your name first."; annotator.focus(); return; }
    var content = { sheet: document.body.dataset.sheet, annotator: annotator.value.trim(), answers: answers() };
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
    link.download = "answers-" + content.sheet + "-" + content.annotator.replace(/[^A-Za-z0-9]+/g, "_") + ".json";
    link.click();
    saved = true;
    show();
  });

  document.getElementById("open").addEventListener("change", function (event) {
    var file = event.target.files[0];
    if (!file) { return; }
    file.text().then(function (text) {
      var content = JSON.parse(text);
      if (content.sheet !== document.body.dataset.sheet) { throw new Error("These answers are to another sheet."); }
      annotator.value = content.annotator;
      items.forEach(function (item) {
        item.querySelectorAll("input[type=radio]").forEach(function (input) {
          input.checked = input.value === content.answers[item.dataset.item];
        });
      });
      show();
    }).catch(function (error) { state.textContent = String(error.message || error); });
  });

  window.addEventListener("beforeunload", function (event) { if (!saved) { event.preventDefault(); } });
  show();
})();
