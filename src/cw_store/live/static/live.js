// What the page does beside being read: it renews itself, says how long ago things were, keeps the
// theme, and sends forms without being left. HTML comes from the server alone, escaped there.
(() => {
  "use strict";

  const THEMES = ["system", "light", "dark"];
  const QUIET = 10 * 60; // seconds without a line, after which an agent that runs is called quiet
  const SILENT = 40; // seconds without an event, after which a stream is taken for lost
  const TOLD = 6; // seconds that a sentence stays

  const byId = (id) => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // What is kept in the browser; it may be forbidden there, and then is not kept.
  function kept(name) {
    try { return localStorage.getItem(`cw_store.${name}`); } catch { return null; }
  }

  function keep(name, value) {
    try { localStorage.setItem(`cw_store.${name}`, value); } catch { /* not kept */ }
  }

  // The theme, before anything is painted.
  function showTheme(name) {
    document.documentElement.dataset.theme = name;
    byId("theme-name")?.replaceChildren(name);
  }

  let theme = THEMES.includes(kept("theme")) ? kept("theme") : "system";
  showTheme(theme);
  document.documentElement.classList.add("has-script");

  function nextTheme() {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("theme", theme);
    showTheme(theme);
  }

  // Times: how long ago, and the exact one for whoever points at it.
  let ahead = 0; // milliseconds by which the server's clock is ahead of this one
  const now = () => Date.now() + ahead;

  function inWords(seconds) {
    if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 36000) return `${Math.floor(seconds / 360) / 10} h`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} days`;
  }

  function timeInWords(time, at) {
    if (time.dataset.as === "clock") return at.toLocaleTimeString(undefined, { hour12: false });
    const seconds = (now() - at) / 1000;
    if (time.dataset.as === "age") return inWords(seconds);
    if (seconds < -5) return `in ${inWords(-seconds)}`;
    return seconds < 5 ? "just now" : `${inWords(seconds)} ago`;
  }

  function tellTime(time) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const told = timeInWords(time, at);
    if (time.textContent !== told) time.textContent = told;
    if (time.told !== time.dateTime) {
      time.told = time.dateTime;
      time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
    }
  }

  function tellTimes() {
    all("time[data-as]").forEach(tellTime);
    const quiet = new Set();
    for (const seen of all("[data-quiet-of]")) {
      const time = seen.querySelector("time");
      const isQuiet = time !== null && now() - new Date(time.dateTime) > QUIET * 1000;
      seen.classList.toggle("is-quiet", isQuiet);
      if (isQuiet) quiet.add(seen.dataset.quietOf);
    }
    for (const card of all("[data-of-agent]")) {
      card.classList.toggle("is-quiet", quiet.has(card.dataset.ofAgent));
    }
  }

  // Changes: the page is made like the fragment, and what is the same stays, with its focus, its
  // selection, what was typed into it and whether it is open.
  function made(html, old) {
    const template = document.createElement("template");
    const isDrawn = Boolean(old?.ownerSVGElement);
    template.innerHTML = isDrawn ? `<svg>${html}</svg>` : html;
    const { firstElementChild } = template.content;
    return isDrawn ? firstElementChild.firstElementChild : firstElementChild;
  }

  const OURS = { details: "open", time: "title" }; // what is set here, and not by the server

  function makeLike(old, fresh) {
    for (const name of new Set([...old.getAttributeNames(), ...fresh.getAttributeNames()])) {
      if (OURS[old.localName] === name) continue;
      const value = fresh.getAttribute(name);
      if (value === null) old.removeAttribute(name);
      else if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.localName === "time" && old.dataset.as) return tellTime(old);
    if (old.localName === "textarea") return;
    const named = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const known = wanted.id ? named.get(wanted.id) : at;
      if (known && known.nodeName === wanted.nodeName && (known.id || "") === (wanted.id || "")) {
        if (known !== at) old.insertBefore(known, at);
        // Most of a large drawing is the same, which the browser finds out soonest.
        if (!known.isEqualNode(wanted)) {
          if (known.nodeType === Node.ELEMENT_NODE) makeLike(known, wanted);
          else known.data = wanted.data;
        }
        at = known.nextSibling;
      } else {
        old.insertBefore(wanted, at);
      }
    }
    while (at) {
      const left = at;
      at = at.nextSibling;
      left.remove();
    }
  }

  const isTypedInto = (element) => all("textarea, input:not([type=hidden])", element)
    .some((field) => field.value !== field.defaultValue);

  function arrange(region, order) {
    let at = region.firstElementChild;
    for (const id of order) {
      const part = byId(id);
      if (part === at) at = at.nextElementSibling;
      else if (part) region.insertBefore(part, at);
    }
    const left = new Set(order);
    for (const part of [...region.children]) {
      if (left.has(part.id)) continue;
      // Somebody else was faster; what was typed here is not thrown away.
      if (isTypedInto(part)) part.classList.add("is-gone");
      else part.remove();
    }
  }

  function changeRegion(region, { parts = {}, order }) {
    for (const [id, html] of Object.entries(parts)) {
      const old = byId(id);
      const fresh = made(html, old);
      if (old && region.contains(old) && old.localName === fresh.localName) makeLike(old, fresh);
      else if (old && region.contains(old)) old.replaceWith(fresh);
      else region.append(fresh);
    }
    if (order) arrange(region, order);
  }

  function change({ title, regions = {} }) {
    const focused = document.activeElement;
    const follows = followsLog();
    if (title) document.title = `${title} · cw_store`;
    for (const [id, changes] of Object.entries(regions)) {
      const region = byId(id);
      if (!region) return fetchAnew();
      changeRegion(region, changes);
    }
    if (focused !== document.activeElement && focused.isConnected) {
      focused.focus({ preventScroll: true });
    }
    tellTimes();
    if (follows) toEnd();
    followWhatRuns();
    all(".of-timeline").forEach(keepNames);
  }

  async function fetchAnew() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ["main", "about", "initiatives", "counts"]) {
      if (byId(id) && fresh.getElementById(id)) makeLike(byId(id), fresh.getElementById(id));
    }
    begin();
  }

  // The stream: open while somebody looks. What is shown is old when it is lost.
  let stream = null;
  let isPaused = false;
  let heardAt = 0;
  let retry = null;
  let tries = 0;
  let lastId = "";
  let isGone = false; // what the page shows
  let reason = ""; // why the stream is lost, if that is known

  function showState() {
    const state = byId("state");
    if (!state) return;
    const isOpen = stream?.readyState === EventSource.OPEN;
    const name = isPaused ? "paused" : isOpen ? "live" : heardAt ? "old" : "connecting";
    state.className = `state is-${name}`;
    const old = isGone ? "gone" : `old for ${inWords((Date.now() - heardAt) / 1000)}${reason}`;
    byId("state-text").textContent = name === "old" ? old : name;
  }

  function close() {
    clearTimeout(retry);
    stream?.close();
    stream = null;
  }

  const WHY = { 401: ": it was started anew, open its new address", 503: ": the store cannot be read" };

  async function askWhy() {
    const answer = await fetch(location.href, { method: "HEAD" }).catch(() => null);
    reason = WHY[answer?.status] ?? "";
    showState();
  }

  function open() {
    close();
    const url = document.body.dataset.stream;
    if (!url || isPaused || document.hidden) return showState();
    const address = new URL(url, location.href);
    if (lastId) address.searchParams.set("since", lastId);
    stream = new EventSource(address);
    stream.onopen = heard;
    stream.addEventListener("alive", heard);
    stream.addEventListener("changed", (event) => {
      heard();
      lastId = event.lastEventId;
      change(JSON.parse(event.data));
    });
    stream.addEventListener("gone", () => {
      isGone = true;
      close();
      document.body.dataset.stream = "";
      showState();
      tell("What this page shows is not there any more.");
    });
    stream.onerror = () => {
      if (!heardAt) heardAt = Date.now();
      close();
      if (tries % 4 === 3) askWhy();
      // Sooner at first, and then not all at once.
      retry = setTimeout(open, Math.min(250 * 2 ** tries++, 8000) * (0.75 + Math.random() / 2));
      showState();
    };
    showState();
  }

  function heard() {
    heardAt = Date.now();
    tries = 0;
    reason = "";
    showState();
  }

  function watch() {
    if (stream && heardAt && Date.now() - heardAt > SILENT * 1000) open();
    showState();
    tellTimes();
  }

  function pause() {
    const button = byId("pause");
    if (!button) return;
    isPaused = !isPaused;
    const told = isPaused ? "Go on" : "Pause";
    button.title = `${told}. Key: p`;
    button.querySelector("use").setAttribute("href", isPaused ? "#icon-play" : "#icon-pause");
    button.querySelector(".unseen").textContent = told;
    open();
  }

  // The log of an agent follows its end, unless somebody reads further up.
  function followsLog() {
    const box = byId("log-box");
    return box !== null && box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  }

  const toEnd = () => byId("log-box")?.scrollTo({ top: 1e9 });

  // The timeline: what names its rows stays in sight when it is scrolled.
  function keepNames(box) {
    const drawn = box.querySelector("svg.drawing");
    const names = drawn?.querySelector(".names");
    if (!names) return;
    const scale = drawn.viewBox.baseVal.width / drawn.getBoundingClientRect().width;
    names.setAttribute("transform", `translate(${box.scrollLeft * scale} 0)`);
    box.classList.toggle("is-scrolled", box.scrollLeft > 0);
  }

  // The graph: what runs is kept in sight.
  const followed = new Map();

  function followWhatRuns() {
    if (!byId("follow")?.checked) return;
    for (const box of all(".of-graph")) {
      const running = all(".lane-running", box);
      const ids = running.map((each) => each.dataset.task).join(" ");
      if (!running.length || followed.get(box) === ids) continue;
      followed.set(box, ids);
      const outer = box.getBoundingClientRect();
      const { left, top, width } = running[0].getBoundingClientRect();
      box.scrollBy({ left: left + width / 2 - outer.left - outer.width / 2, top: top - outer.top - 40 });
    }
  }

  function applySwitches() {
    byId("main")?.classList.toggle("only-critical", Boolean(byId("critical")?.checked));
    followed.clear();
    followWhatRuns();
  }

  function switched({ target }) {
    if (!target.matches("input[data-keep]")) return;
    keep(target.id, target.checked ? "yes" : "no");
    applySwitches();
  }

  // Actions: a form is sent, and the page stays where it is.
  function tell(sentence) {
    const place = byId("told");
    place.textContent = sentence;
    clearTimeout(place.telling);
    place.telling = setTimeout(() => { place.textContent = ""; }, TOLD * 1000);
  }

  async function send(form) {
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        headers: { Accept: "application/json" },
      });
      const { told } = await answer.json();
      tell(told);
      if (answer.ok) {
        form.reset();
        form.closest("details.answer")?.removeAttribute("open");
        form.closest(".is-gone")?.remove(); // the change was here before this answer
        if (!stream) await fetchAnew();
      }
    } catch {
      tell("It could not be sent: the page is not reached. What you typed is still here.");
    } finally {
      button.disabled = false;
    }
  }

  // Whoever opens a form types into it next; a key is no shortcut then.
  function opened({ target }) {
    if (target.open && target.matches(".answer") && target.contains(document.activeElement)) {
      target.querySelector("textarea, input:not([type=hidden])")?.focus();
    }
  }

  // Keys: / searches, p pauses, j and k go through what is listed.
  function step(by) {
    const stops = all("[data-stop]");
    const at = stops.indexOf(document.activeElement?.closest("[data-stop]"));
    stops[Math.max(0, Math.min(stops.length - 1, at + by))]?.focus();
  }

  const KEYS = { "/": () => byId("find").focus(), p: pause, j: () => step(1), k: () => step(-1) };

  function pressed(event) {
    const target = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && target.form) {
      target.form.requestSubmit();
    } else if (event.key === "Escape") {
      byId("picker")?.removeAttribute("open");
    } else if (KEYS[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey && !target.closest("input, textarea")) {
      event.preventDefault();
      KEYS[event.key]();
    }
  }

  // The beginning.
  function begin() {
    all("#state, #pause, #theme, .switches").forEach((each) => { each.hidden = false; });
    showTheme(theme);
    all("input[data-keep]").forEach((box) => { box.checked = kept(box.id) === "yes"; });
    applySwitches();
    tellTimes();
    showState();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const served = Date.parse(document.body.dataset.now ?? "");
    if (Math.abs(served - Date.now()) > 5000) ahead = served - Date.now();
    begin();
    toEnd();
    all(".of-timeline").forEach((box) => { box.scrollLeft = box.scrollWidth; });
    document.addEventListener("scroll", ({ target }) => {
      if (target.matches?.(".of-timeline")) keepNames(target);
    }, true);
    byId("theme")?.addEventListener("click", nextTheme);
    byId("pause")?.addEventListener("click", pause);
    byId("to-end")?.addEventListener("click", toEnd);
    byId("log-box")?.addEventListener("scroll", () => { byId("to-end").hidden = followsLog(); });
    document.addEventListener("keydown", pressed);
    document.addEventListener("change", switched);
    document.addEventListener("toggle", opened, true);
    document.addEventListener("visibilitychange", open);
    document.addEventListener("submit", (event) => {
      if (!event.target.matches("form.act")) return;
      event.preventDefault();
      send(event.target);
    });
    setInterval(watch, 5000);
    open();
  });
})();
