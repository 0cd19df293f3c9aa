"use strict";
(function () {
  var reviews = Array.from(document.querySelectorAll("details.review"));
  var text = document.getElementById("f-text");
  var show = document.getElementById("f-show");
  var slice = document.getElementById("f-slice");
  var count = document.getElementById("f-count");
  var contents = reviews.map(function (review) { return review.textContent.toLowerCase(); });
  var tags = reviews.map(function (review) { return review.dataset.tags.split(" "); });

  function filter() {
    var wanted = text.value.trim().toLowerCase();
    var visible = 0;
    reviews.forEach(function (review, i) {
      var keep = contents[i].includes(wanted)
        && (!show.value || tags[i].includes(show.value))
        && (!slice || !slice.value || tags[i].includes("slice:" + slice.value));
      review.hidden = !keep;
      visible += keep;
    });
    count.textContent = visible + " shown";
  }

  function open() {
    var target = document.getElementById(location.hash.slice(1));
    if (target && target.matches("details.review")) {
      target.hidden = false;
      target.open = true;
      target.scrollIntoView();
    }
  }

  [text, show, slice].forEach(function (input) { if (input) { input.addEventListener("input", filter); } });
  window.addEventListener("hashchange", open);
  filter();
  open();
})();
