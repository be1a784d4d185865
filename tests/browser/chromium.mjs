// chromium.mjs FOLDER JOB: what Chromium makes of WebVTT documents, as JSON.
//
// FOLDER has node_modules. JOB is a JSON file: `documents`, each read through a <track>; `lines`, each set in a
// paragraph that is left-to-right; `shown`, each a document of which a picture is taken at `at` seconds;
// `video`, a file for them to stand in; `picture`, a file to write.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, job] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const chromium = require("@sparticuz/chromium").default;
const puppeteer = require("puppeteer-core");

const given = JSON.parse(readFileSync(job, "utf8"));
const asData = (path, type) => `data:${type};base64,${readFileSync(path).toString("base64")}`;
const font = (name, subset) =>
  asData(`${folder}/node_modules/@fontsource/${name}/files/${name}-${subset}-400-normal.woff2`, "font/woff2");
const FONTS = [
  ["Arabic", font("noto-sans-arabic", "arabic")],
  ["Hebrew", font("noto-sans-hebrew", "hebrew")],
  ["Chinese", font("noto-sans-sc", "chinese-simplified")],
];

const PAGE = `<!doctype html><meta charset="utf-8"><style>
  ${FONTS.map(([name, source]) => `@font-face { font-family: "${name}"; src: url(${source}) }`).join("\n")}
  body { margin: 0; font: 24px Arabic, Hebrew, Chinese, sans-serif; width: 1280px; display: flex; flex-wrap: wrap }
  video { width: 640px; height: 360px; background: #345 }
  video::cue { font-family: "Open Sans", Arabic, Hebrew, Chinese, sans-serif }
</style>`;

const browser = await puppeteer.launch({
  executablePath: await chromium.executablePath(),
  args: chromium.args,
  headless: "shell",
  defaultViewport: { width: 1280, height: 720 },
});
try {
  const page = await browser.newPage();
  await page.setContent(PAGE);
  await page.evaluate(async (names) => {
    await Promise.all(names.map((name) => document.fonts.load(`24px ${name}`, "ا א 字")));
  }, FONTS.map(([name]) => name));
  const documents = [];
  for (const text of given.documents) documents.push(await page.evaluate(read, text));
  const lines = [];
  for (const line of given.lines) lines.push(await page.evaluate(places, line));
  if (given.picture) {
    await page.evaluate(show, given.shown, asData(given.video, "video/webm"));
    await page.screenshot({ path: given.picture });
  }
  console.log(JSON.stringify({ version: await browser.version(), documents, lines }));
} finally {
  await browser.close();
}

/** The cues of a document as a page's script finds them. */
async function read(text) {
  const video = document.body.appendChild(document.createElement("video"));
  const track = video.appendChild(document.createElement("track"));
  const loaded = new Promise((resolve, reject) => {
    track.onload = resolve;
    track.onerror = () => reject(new Error("the track could not be loaded"));
  });
  track.src = URL.createObjectURL(new Blob([text], { type: "text/vtt" }));
  track.track.mode = "hidden";
  await loaded;
  const found = [...track.track.cues].map((cue) => {
    const content = cue.getCueAsHTML();
    const voice = content.querySelector("span[title]");
    return { start: cue.startTime, end: cue.endTime, voice: voice?.title ?? null, text: content.textContent };
  });
  video.remove();
  return found;
}

/** Each word of a line, and its last sign, with where it stands in a left-to-right paragraph: pixels from the left. */
function places(line) {
  const paragraph = document.body.appendChild(document.createElement("p"));
  paragraph.dir = "ltr";
  paragraph.textContent = line;
  const range = document.createRange();
  const found = [...line.matchAll(/[\p{L}\p{N}]+|[^\s\u202c](?=\u202c?$)/gu)].map((word) => {
    range.setStart(paragraph.firstChild, word.index);
    range.setEnd(paragraph.firstChild, word.index + word[0].length);
    return { word: word[0], left: range.getBoundingClientRect().left };
  });
  paragraph.remove();
  return found;
}

/** A video for each document, stopped where a cue is to be seen. */
async function show(shown, source) {
  await Promise.all(
    shown.map(async ({ text, at }) => {
      const video = document.body.appendChild(document.createElement("video"));
      const track = video.appendChild(document.createElement("track"));
      track.src = URL.createObjectURL(new Blob([text], { type: "text/vtt" }));
      const ready = [once(track, "load"), once(video, "loadeddata")];
      track.track.mode = "showing";
      video.src = source;
      await Promise.all(ready);
      const sought = once(video, "seeked");
      video.currentTime = at;
      await sought;
    }),
  );
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));

  function once(target, event) {
    return new Promise((resolve, reject) => {
      target.addEventListener(event, resolve, { once: true });
      target.addEventListener("error", () => reject(new Error(`no ${event}`)), { once: true });
    });
  }
}
