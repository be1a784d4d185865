// Reads WebVTT documents from standard input, each a JSON string on a line; answers each with a line of
// JSON: what W3C's validator finds wrong, and the cues as its parser of the web platform's rules has them.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { WebVTTParser } = require("webvtt-parser");
const entities = require("webvtt-parser/html-entities.json");

const text = (node) => (node.type === "text" ? node.value : (node.children ?? []).map(text).join(""));

const cue = ({ startTime, endTime, tree }) => ({
  start: startTime,
  end: endTime,
  voice: tree.children.find((node) => node.name === "v")?.value ?? null,
  text: text(tree),
});

for await (const line of createInterface({ input: process.stdin })) {
  const { errors, cues } = new WebVTTParser(entities).parse(JSON.parse(line), "subtitles");
  console.log(JSON.stringify({ errors: errors.map((error) => error.message), cues: cues.map(cue) }));
}
