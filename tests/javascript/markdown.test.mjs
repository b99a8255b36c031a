/** The Markdown of answers: what it becomes, and where a growing text may be cut without changing what it means. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import {
  addressesIn, closesFence, copyContext, cutLength, finishedLength, newContext, openingFence, toHtml, undefinedLabels,
} from "../../chat/static/chat/page/markdown_syntax.js";

const CORPUS = readFileSync(new URL("../browser/corpus/markdown.md", import.meta.url), "utf8");
const html = (text) => toHtml(text, newContext()).trim();
const compact = (text) => text.replace(/>\s+</g, "><");

describe("what a text becomes", () => {
  for (const [text, expected] of [
    ["<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"],
    ["[x](https://a.example/)", '<p><a href="https://a.example/">x</a></p>'],
    ["[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"],
    ["[x](//evil.example)", "<p>[x](//evil.example)</p>"],
    ["[x](/chat/logout/)", "<p>[x](/chat/logout/)</p>"],
    ["![cat](https://a.example/cat.png)", '<p><a href="https://a.example/cat.png">cat</a></p>'],
    ["[![cat](https://a.example/1)](https://a.example/2)", '<p><a href="https://a.example/2">cat</a></p>'],
    ["see main.py and https://a.example", '<p>see main.py and <a href="https://a.example">https://a.example</a></p>'],
    ["one\ntwo", "<p>one<br>\ntwo</p>"],
    ["99. a\n1. b", '<ol start="99" class="digits-3" dir="auto">\n<li>a</li>\n<li>b</li>\n</ol>'],
    ["98. a\n1. b", '<ol start="98" dir="auto">\n<li>a</li>\n<li>b</li>\n</ol>'],
    [
      "- [ ] a\n- [X] **b**\n- [ ]c",
      '<ul dir="auto">\n<li class="task-item"><span class="task"></span>a</li>\n' +
        '<li class="task-item"><span class="task done"></span><strong>b</strong></li>\n<li>[ ]c</li>\n</ul>',
    ],
    ["[x] a", "<p>[x] a</p>"],
    ["> a", '<blockquote dir="auto">\n<p>a</p>\n</blockquote>'],
  ]) {
    it(JSON.stringify(text), () => assert.equal(html(text), expected));
  }

  for (const [text, expected] of [
    ["so \\(a^2\\, b_1 * c_2\\) is", '<p>so <span class="math" dir="ltr">\\(a^2\\, b_1 * c_2\\)</span> is</p>'],
    ["$$x_1 < *y*$$ and *z*", '<p><span class="math" dir="ltr">$$x_1 &lt; *y*$$</span> and <em>z</em></p>'],
    ["So:\n\\[\na \\\\\n- b\n\n= c\n\\]\nis", '<p>So:</p>\n<p class="math" dir="ltr">\\[\na \\\\\n- b\n\n= c\n\\]</p>\n<p>is</p>'],
    ["$$\n- a\n$$", '<p class="math" dir="ltr">$$\n- a\n$$</p>'],
    [
      "1. a\n\n   $$\n   b\n   $$\n",
      '<ol dir="auto">\n<li>\n<p>a</p>\n<p class="math" dir="ltr">$$\nb\n$$</p>\n</li>\n</ol>',
    ],
    ["\\[not a link\\] *a*", '<p><span class="math" dir="ltr">\\[not a link\\]</span> <em>a</em></p>'],
    ["`\\(a\\)`", "<p><code>\\(a\\)</code></p>"],
    // None of these is a formula.
    ["$$ is the *process* in sh", "<p>$$ is the <em>process</em> in sh</p>"],
    ["\\(never *closed*", "<p>(never <em>closed</em></p>"],
    ["\\\\(a*b*c", "<p>\\(a<em>b</em>c</p>"],
    ["it costs $5 or *$6*", "<p>it costs $5 or <em>$6</em></p>"],
  ]) {
    it(`leaves formulas alone: ${JSON.stringify(text)}`, () => assert.equal(html(text), expected));
  }

  it("does not cut into a formula that still grows", () => {
    assert.equal(finishedLength("$$\na\n- b\n- c\n- d\n"), 0);
    assert.equal(finishedLength("\\[\na\n\n- b\n\nc\n"), 0);
    assert.equal(finishedLength("$$ is a process\n\nand\n\nmore\n"), "$$ is a process\n\n".length);
    assert.equal(cutLength(`\\[\n${"a + b \\\\\n".repeat(400)}`).length, 0);
  });

  it("gives room to the cells that hold lines of text", () => {
    const cells = html("| a |\n|--:|\n| short |\n| long enough to be read as a text |").match(/<t[hd](?!ead)[^>]*>/g);
    assert.deepEqual(cells, ['<th class="align-right">', '<td class="align-right">', '<td class="align-right prose">']);
  });

  it("finds the addresses of the web in a plain text", () => {
    const text = "See https://a.example/x_(y). Not main.py, mailto:a@b.example, javascript:alert(1) or ftp://c.example";
    assert.deepEqual(addressesIn(text).map(({ url }) => url), ["https://a.example/x_(y)"]);
  });

  it("has headings below the page's own, none of which skips a level", () => {
    const levels = [...html("### a\n# b\n##### c\n# d\n").matchAll(/<h(\d)>/g)].map(([, level]) => level);
    assert.deepEqual(levels, ["2", "2", "3", "2"]);
  });

  it("knows the link definitions of earlier parts", () => {
    const context = newContext();
    toHtml("[a]: https://a.example/\n", context);
    assert.match(toHtml("[a]", context), /href="https:\/\/a\.example\/"/);
  });

  it("knows what is not defined yet", () => {
    const context = newContext();
    toHtml("[a]: https://a.example/\n", context);
    assert.deepEqual([...undefinedLabels("[A], [text][b  C] and [x](https://x.example/)", context)], ["TEXT", "B C", "X"]);
  });
});

describe("where a growing text is finished", () => {
  for (const [text, length] of [
    ["", 0], ["one", 0], ["one\n\n", 0], ["one\n\ntwo", 0], ["one\n\ntwo\nmore\n", 5], ["- a\n- b\n- c\n", 0],
    ["a\n\n# b\n\nc\nd\n", 8], ["a | b\n--- | ---\n", 0],
  ]) {
    it(JSON.stringify(text), () => assert.equal(finishedLength(text), length));
  }

  it("gives the same elements however the text was cut on its way", () => {
    const whole = compact(html(CORPUS));
    for (let round = 0; round < 60; round += 1) {
      const context = newContext();
      const parts = [];
      let tail = "";
      const finish = (text) => {
        parts.push([text, copyContext(context)]);
        toHtml(text, context);
      };
      for (let at = 0; at < CORPUS.length; ) {
        const to = at + 1 + Math.floor(Math.random() * 90);
        tail += CORPUS.slice(at, to);
        at = to;
        for (let length; (length = finishedLength(tail)) > 0; tail = tail.slice(length)) {
          finish(tail.slice(0, length));
        }
      }
      finish(tail);
      const { references } = context; // a part that names what is defined later is rendered again
      const shown = parts.map(([text, before]) => toHtml(text, { ...before, references })).join("");
      assert.equal(compact(shown.trim()), whole);
    }
  });
});

describe("where a long block is cut", () => {
  const long = "word ".repeat(310);

  it("cuts a list between two of its own items, not inside one", () => {
    const first = `1. one\n   - ${long}\n`;
    const { length } = cutLength(`${first}2. two\n   - inner\n   - inner\n`);
    assert.equal(length, first.length);
  });

  it("lets a short row of a table be filled, but not thousands of them", () => {
    const table = (rows) => html(`|a|b|c|d|\n|-|-|-|-|\n${"|1\n".repeat(rows)}`);
    const cells = (text) => text.split("<td").length - 1;
    assert.equal(cells(table(3)), 12);
    assert.equal(cells(table(10_000)), 10_000 + 500);
  });

  it("leaves a table that nobody could read as text, also within a list and when it is long", () => {
    const wide = (columns) => `${"|a".repeat(columns)}|\n${"|-".repeat(columns)}|\n${"|1\n".repeat(1_000)}`;
    assert.equal(html(wide(64)).split("<th").length - 1, 65); // and <thead>
    assert.match(html(`before\n${wide(65)}`), /^<p>before<\/p>\n<p>\|a\|a/);
    for (const text of [wide(65), wide(3_000), `- ${wide(65).replaceAll("\n", "\n  ")}`]) {
      assert.doesNotMatch(html(text), /<t/);
      assert.equal(cutLength(text).repeat, "");
    }
    assert.match(html(`${wide(65)}\nafter`), /<\/p>\n<p>after<\/p>$/);
  });

  it("repeats the head of a table", () => {
    const text = `| a |\n|---|\n| 1 |\n| ${long} |\n| 3`;
    assert.deepEqual(cutLength(text), { length: text.length - 3, repeat: "| a |\n|---|\n", number: null });
  });

  it("goes on counting after the cut, also in a list that only says 1.", () => {
    const step = `1. ${long.slice(0, 300)}\n`;
    const context = newContext();
    let [tail, shown] = [step.repeat(30), ""];
    for (let cut; (cut = cutLength(tail, context.number)).length > 0; tail = tail.slice(cut.length)) {
      shown += toHtml(tail.slice(0, cut.length), context);
      context.number = cut.number;
    }
    shown += toHtml(tail, context);
    const starts = [...shown.matchAll(/<ol(?: start="(\d+)")?[^>]*>|<li>/g)];
    let number = 1;
    for (const [tag, start] of starts) {
      if (tag === "<li>") number += 1;
      else assert.equal(Number(start ?? 1), number, shown);
    }
    assert.equal(number, 31);
    assert.ok(starts.filter(([tag]) => tag !== "<li>").length > 1, "it was cut");
  });

  it("cuts one monstrous line at a space, and leaves a paragraph alone", () => {
    assert.equal(cutLength(`${long}here`).length, 0);
    assert.equal(cutLength(`${long.repeat(4)}here`).length, 4 * long.length);
  });
});

describe("blocks of code", () => {
  it("knows where they begin", () => {
    assert.equal(openingFence("```js x\n").language, "js");
    assert.equal(openingFence("  ~~~~\n").marker, "~~~~");
    for (const text of ["```js", "``\n", "    ```\n", "``` a`b\n", "x ```\n"]) assert.equal(openingFence(text), null, text);
  });

  it("knows where they end, and what may still become their end", () => {
    const fence = openingFence("```\n");
    for (const line of ["```", "````", "   ```  "]) assert.ok(closesFence(line, fence), line);
    for (const line of ["``", "```x", "~~~", "    ```", ""]) assert.ok(!closesFence(line, fence), line);
    for (const line of ["", " ", "`", "```"]) assert.ok(closesFence(line, fence, false), line);
    for (const line of ["x", "`a"]) assert.ok(!closesFence(line, fence, false), line);
  });
});
