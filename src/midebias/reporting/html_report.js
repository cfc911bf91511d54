"use strict";
// Draws the page's pictures from the JSON in it. Text goes in as text nodes only, never as markup.
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  // Okabe and Ito's colours, told apart by colour-blind people; shapes tell them apart once more.
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b", "#7a3e9d"];
  const ORDERED = ["#440154", "#3b528b", "#21918c", "#5ec962", "#c9a800"];
  const INK = "#1d2329", SOFT = "#56606b", LINE = "#d7dce1", BLUE = "#0072b2", RED = "#a33c00";
  const SVG = "http://www.w3.org/2000/svg";

  const node = (name, attributes = {}, text, inside) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.append(document.createTextNode(text));
    if (inside) inside.append(element);
    return element;
  };
  const html = (name, attributes = {}, text, inside) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.append(document.createTextNode(text));
    if (inside) inside.append(element);
    return element;
  };
  const tip = (element, text) => { node("title", {}, text, element); return element; };
  const short = (text, room, size = 13) => {
    const fits = Math.max(4, Math.floor(room / (size * 0.56)));
    return text.length > fits ? text.slice(0, fits - 1) + "…" : text;
  };
  const nice = (low, high, count) => {
    const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw - 1e-12);
    const ticks = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i += 1) ticks.push(+(i * step).toPrecision(8));
    return ticks;
  };
  const text = (value) => (value === null || value === undefined ? "–" : Math.abs(value) >= 1000 ? value.toLocaleString("en") : String(+value.toPrecision(3)));
  const canvas = (holder, height, label) => {
    const width = Math.max(280, Math.floor(holder.clientWidth || 680));
    holder.replaceChildren();
    const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, undefined, holder);
    return { svg, width };
  };
  const xAxis = (svg, scale, ticks, top, bottom, label, left, right) => {
    for (const tick of ticks) {
      node("line", { x1: scale(tick), x2: scale(tick), y1: top, y2: bottom, stroke: LINE }, undefined, svg);
      node("text", { x: scale(tick), y: bottom + 17, "font-size": 12, "text-anchor": "middle", class: "soft" }, text(tick), svg);
    }
    node("text", { x: (left + right) / 2, y: bottom + 36, "font-size": 13, "text-anchor": "middle", class: "soft" }, label, svg);
  };
  const yAxis = (svg, scale, ticks, left, right, label) => {
    for (const tick of ticks) {
      node("line", { x1: left, x2: right, y1: scale(tick), y2: scale(tick), stroke: LINE }, undefined, svg);
      node("text", { x: left - 6, y: scale(tick) + 4, "font-size": 12, "text-anchor": "end", class: "soft" }, text(tick), svg);
    }
    node("text", { x: 2, y: scale.top - 9, "font-size": 13, class: "soft" }, label, svg);
  };
  const linear = (low, high, from, to) => {
    const scale = (value) => from + ((value - low) / (high - low || 1)) * (to - from);
    scale.top = Math.min(from, to);
    return scale;
  };
  const whisker = (svg, x1, x2, y, colour) => {
    node("line", { x1, x2, y1: y, y2: y, stroke: colour, "stroke-width": 2 }, undefined, svg);
    for (const x of [x1, x2]) node("line", { x1: x, x2: x, y1: y - 5, y2: y + 5, stroke: colour, "stroke-width": 2 }, undefined, svg);
  };
  const SHAPES = ["circle", "square", "triangle", "diamond", "plus", "cross", "down", "ring"];
  const marker = (shape, x, y, r, colour) => {
    const paths = {
      square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, triangle: `M${x} ${y - 1.2 * r}l${1.15 * r} ${2.1 * r}h${-2.3 * r}z`,
      diamond: `M${x} ${y - 1.35 * r}l${1.35 * r} ${1.35 * r}l${-1.35 * r} ${1.35 * r}l${-1.35 * r} ${-1.35 * r}z`,
      plus: `M${x - 1.2 * r} ${y}h${2.4 * r}M${x} ${y - 1.2 * r}v${2.4 * r}`, cross: `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`,
      down: `M${x} ${y + 1.2 * r}l${1.15 * r} ${-2.1 * r}h${-2.3 * r}z`,
    };
    if (shape === "circle") return node("circle", { cx: x, cy: y, r, fill: colour });
    if (shape === "ring") return node("circle", { cx: x, cy: y, r, fill: "none", stroke: colour, "stroke-width": 1.6 });
    const stroked = shape === "plus" || shape === "cross";
    return node("path", stroked ? { d: paths[shape], stroke: colour, "stroke-width": 1.8, fill: "none" } : { d: paths[shape], fill: colour });
  };
  // A row of radio buttons: arrow keys and screen readers work as for any form.
  let groups = 0;
  const choose = (holder, legend, names, change) => {
    if (names.length < 2) return;
    const group = html("fieldset", {}, undefined, holder);
    html("legend", {}, legend, group);
    groups += 1;
    names.forEach((name, i) => {
      const label = html("label", { class: "choice" }, undefined, group);
      const input = html("input", { type: "radio", name: `choice-${groups}`, value: String(i) }, undefined, label);
      input.checked = i === 0;
      html("span", {}, name, label);
      input.addEventListener("change", () => change(i));
    });
  };
  const drawings = [];
  const picture = (id, setup) => {
    const figure = document.getElementById(id);
    if (!figure) return;
    const controls = figure.querySelector(".controls"), holder = figure.querySelector(".drawing");
    const draw = setup(controls, holder, figure);
    drawings.push(draw);
    draw();
  };
  const unique = (values) => [...new Set(values)];

  picture("leakage-figure", (controls, holder) => {
    const rows = content.leakage.rows, attributes = unique(rows.map((r) => r.attribute)), conditions = unique(rows.map((r) => r.condition));
    const worst = content.leakage.summary.filter((s) => s.leaks).sort((a, b) => b.leakage - a.leakage)[0];
    if (worst) attributes.sort((a, b) => (b === worst.attribute) - (a === worst.attribute));
    const state = { attribute: 0, condition: 0, unit: 0 };
    const draw = () => {
      const shown = rows.filter((r) => r.attribute === attributes[state.attribute] && r.condition === conditions[state.condition]);
      const nats = state.unit === 1, name = attributes[state.attribute];
      const { svg, width } = canvas(holder, shown.length * 36 + 78, `${nats ? "Leakage in nats" : "Balanced accuracy"} of each probe for ${name}, ${conditions[state.condition]}`);
      if (!shown.length) { node("text", { x: 4, y: 30, "font-size": 14 }, "Not audited: too few rows.", svg); return; }
      const left = width < 520 ? 134 : 160, size = width < 520 ? 12 : 13, right = width - 56, top = 22, bottom = top + shown.length * 36;
      const value = (r) => (nats ? [r.low, r.mi, r.high] : [r.balanced_low, r.balanced_accuracy, r.balanced_high]);
      const chance = nats ? 0 : shown[0].balanced_chance;
      let low = Math.min(chance, ...shown.map((r) => value(r)[0])), high = Math.max(chance, ...shown.map((r) => value(r)[2]));
      const room = Math.max((high - low) * 0.08, nats ? 0.005 : 0.02);
      low -= room; high += room;
      if (!nats) { low = Math.max(0, low); high = Math.min(1, high); }
      const scale = linear(low, high, left, right);
      xAxis(svg, scale, nice(low, high, width < 520 ? 3 : 6), top, bottom, nats ? "held-out lower estimate of what z tells, nats" : "balanced accuracy on held-out rows", left, right);
      node("line", { x1: scale(chance), x2: scale(chance), y1: top - 4, y2: bottom, stroke: INK, "stroke-width": 1.5, "stroke-dasharray": "5 4" }, undefined, svg);
      node("text", { x: scale(chance), y: top - 9, "font-size": 12, "text-anchor": "middle" }, nats ? "nothing" : "chance", svg);
      shown.forEach((r, i) => {
        const y = top + 18 + i * 36, [a, b, c] = value(r), colour = r.leaks ? RED : BLUE;
        const group = node("g", { "data-mark": "probe" }, undefined, svg);
        tip(group, `${r.probe}: ${b.toFixed(3)} (${a.toFixed(3)} to ${c.toFixed(3)}), p ${r.p_adjusted < 0.001 ? "< 0.001" : "= " + r.p_adjusted.toFixed(3)}`);
        node("text", { x: left - 10, y: y + 4, "font-size": size, "text-anchor": "end" }, short(r.probe, left - 8, size), group);
        whisker(group, scale(a), scale(c), y, colour);
        group.append(marker(colour === RED ? "diamond" : "circle", scale(b), y, 6, colour));
        node("text", { x: Math.min(scale(c) + 9, width - 46), y: y + 4, "font-size": 13 }, b.toFixed(3), group);
      });
    };
    choose(controls, "attribute", attributes, (i) => { state.attribute = i; draw(); });
    choose(controls, "rows", conditions, (i) => { state.condition = i; draw(); });
    choose(controls, "show", ["balanced accuracy", "nats"], (i) => { state.unit = i; draw(); });
    return draw;
  });

  picture("map-figure", (controls, holder, figure) => {
    const { views, colourings } = content.map, state = { view: 0, colouring: 0, only: -1 };
    const key = figure.querySelector(".key");
    const look = (colouring, code) => {
      const count = colouring.names.length;
      if (colouring.ordered) return [SHAPES[0], ORDERED[Math.round((code * (ORDERED.length - 1)) / Math.max(1, count - 1))]];
      // Beyond eight, colours come again with another shape.
      return [SHAPES[(code + 3 * Math.floor(code / COLOURS.length)) % SHAPES.length], COLOURS[code % COLOURS.length]];
    };
    const draw = () => {
      const colouring = colourings[state.colouring], points = views[state.view].points;
      const height = Math.min(520, Math.max(300, Math.round((holder.clientWidth || 680) * 0.62)));
      const { svg, width } = canvas(holder, height, `Map of ${points.length} rows by ${views[state.view].name}, coloured by ${colouring.name}`);
      node("rect", { x: 0.5, y: 0.5, width: width - 1, height: height - 1, fill: "none", stroke: LINE }, undefined, svg);
      const order = points.map((_, i) => i).sort((a, b) => (colouring.codes[a] === state.only) - (colouring.codes[b] === state.only));
      for (const i of order) {
        const code = colouring.codes[i];
        const [shape, colour] = code < 0 ? ["ring", "#9aa4ae"] : look(colouring, code);
        const mark = marker(shape, +(12 + points[i][0] * (width - 24)).toFixed(1), +(height - 12 - points[i][1] * (height - 24)).toFixed(1), width < 520 ? 2.4 : 3.1, colour);
        mark.setAttribute("opacity", state.only >= 0 && code !== state.only ? "0.09" : "0.72");
        mark.setAttribute("data-mark", "point");
        svg.append(mark);
      }
      key.replaceChildren();
      colouring.names.forEach((name, code) => {
        const item = html("li", {}, undefined, key);
        const button = html("button", { type: "button", "aria-pressed": String(state.only === code), title: "show this one alone" }, undefined, item);
        const [shape, colour] = look(colouring, code);
        const sign = node("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, undefined, button);
        sign.append(marker(shape, 8, 8, 5, colour));
        button.append(document.createTextNode(name));
        button.addEventListener("click", () => { state.only = state.only === code ? -1 : code; draw(); key.querySelectorAll("button")[code].focus(); });
      });
    };
    choose(controls, "colour by", colourings.map((c) => c.name), (i) => { state.colouring = i; state.only = -1; draw(); });
    choose(controls, "view", views.map((v) => v.name), (i) => { state.view = i; draw(); });
    return draw;
  });

  picture("groups-figure", (controls, holder) => {
    const rows = content.groups, attributes = unique(rows.map((r) => r.attribute)), state = { attribute: 0, rate: 0 };
    const rates = [["accuracy", "accuracy"], ["selection_rate", "selection rate"], ["true_positive_rate", "true positive rate"], ["false_positive_rate", "false positive rate"]]
      .filter(([k]) => rows.some((r) => r[k] !== undefined));
    const draw = () => {
      const [rate, name] = rates[state.rate];
      const shown = rows.filter((r) => r.attribute === attributes[state.attribute] && r[rate] !== null && r[rate] !== undefined).sort((a, b) => a[rate] - b[rate]).slice(0, 40);
      const { svg, width } = canvas(holder, shown.length * 30 + 66, `${name} by ${attributes[state.attribute]}`);
      const left = width < 520 ? 152 : 230, size = width < 520 ? 12 : 13, right = width - 84, top = 10, bottom = top + shown.length * 30;
      const spread = rate === "accuracy" ? shown.flatMap((r) => [r.low, r.high]) : shown.map((r) => r[rate]);
      let low = Math.min(...spread), high = Math.max(...spread);
      low = Math.max(0, low - 0.05); high = Math.min(1, high + 0.05);
      const scale = linear(low, high, left, right);
      xAxis(svg, scale, nice(low, high, width < 520 ? 3 : 6), top, bottom, name, left, right);
      shown.forEach((r, i) => {
        const y = top + 15 + i * 30, group = node("g", { "data-mark": "group" }, undefined, svg), colour = r.small ? SOFT : BLUE;
        tip(group, `${r.group}: ${name} ${r[rate].toFixed(3)}${rate === "accuracy" ? ` (${r.low.toFixed(3)} to ${r.high.toFixed(3)})` : ""}, ${r.n} rows`);
        node("text", { x: left - 10, y: y + 4, "font-size": size, "text-anchor": "end" }, short(r.group, left - 8, size), group);
        if (rate === "accuracy") whisker(group, scale(r.low), scale(r.high), y, colour);
        group.append(marker(r.small ? "ring" : "circle", scale(r[rate]), y, 5.5, colour));
        node("text", { x: right + 10, y: y + 4, "font-size": 12, class: "soft" }, `n = ${r.n.toLocaleString("en")}`, group);
      });
    };
    choose(controls, "attribute", attributes, (i) => { state.attribute = i; draw(); });
    choose(controls, "show", rates.map((r) => r[1]), (i) => { state.rate = i; draw(); });
    return draw;
  });

  picture("training-figure", (controls, holder) => {
    const runs = content.training, state = { run: 0 };
    const draw = () => {
      const run = runs[state.run], panels = run.panels, each = 210;
      const { svg, width } = canvas(holder, panels.length * each + 26, `Training of ${run.name}: ${panels.map((p) => p.name).join(", ")}`);
      const left = 52, right = width - (width < 520 ? 14 : 110);
      const x = linear(Math.min(...run.steps), Math.max(...run.steps), left, right);
      panels.forEach((panel, p) => {
        const top = p * each + 26, bottom = top + each - 66;
        const values = panel.series.flatMap((s) => s.values).filter((v) => v !== null);
        let low = Math.min(0, ...values), high = Math.max(...values);
        if (high === low) high = low + 1;
        const y = linear(low, high, bottom, top);
        yAxis(svg, y, nice(low, high, 4), left, right, panel.name);
        for (const tick of nice(run.steps[0], run.steps[run.steps.length - 1], width < 520 ? 3 : 6))
          node("text", { x: x(tick), y: bottom + 17, "font-size": 12, "text-anchor": "middle", class: "soft" }, text(tick), svg);
        const ends = [];
        panel.series.forEach((series, i) => {
          const colour = COLOURS[i % COLOURS.length], dash = ["", "7 4", "2 3", "9 3 2 3"][i % 4];
          let path = "", pen = "M", last = null;
          series.values.forEach((v, k) => {
            if (v === null) { if (panel.broken) pen = "M"; return; }
            path += `${pen}${x(run.steps[k]).toFixed(1)} ${y(v).toFixed(1)}`; pen = "L"; last = [x(run.steps[k]), y(v)];
          });
          const line = node("path", { d: path, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dash, "data-mark": "line" }, undefined, svg);
          tip(line, series.name);
          if (last) ends.push([last[0], last[1], series.name, colour]);
        });
        ends.sort((a, b) => a[1] - b[1]);
        let at = -Infinity;
        for (const [, end, name, colour] of ends) {
          at = Math.max(end, at + 15);
          if (panel.series.length > 1 || width >= 520) {
            const inside = width < 520;
            const label = node("text", { x: inside ? right : right + 7, y: inside ? top + 12 + 15 * ends.findIndex((e) => e[2] === name) : at + 4, "font-size": 12, "text-anchor": inside ? "end" : "start" }, short(name, inside ? 200 : 100, 12), svg);
            label.style.fill = colour;
          }
        }
        for (const alarm of run.alarms) {
          const mark = node("g", { "data-mark": "alarm" }, undefined, svg);
          tip(mark, `step ${alarm.step}: ${alarm.text}`);
          node("line", { x1: x(alarm.step), x2: x(alarm.step), y1: top, y2: bottom, stroke: RED, "stroke-dasharray": "3 3" }, undefined, mark);
          mark.append(marker("down", x(alarm.step), top - 3, 5, RED));
        }
      });
      node("text", { x: (left + right) / 2, y: panels.length * each + 14, "font-size": 13, "text-anchor": "middle", class: "soft" }, "step", svg);
    };
    choose(controls, "run", runs.map((r) => r.name), (i) => { state.run = i; draw(); });
    return draw;
  });

  picture("movement-figure", (controls, holder) => {
    const { counts, edges, median } = content.movement;
    const draw = () => {
      const { svg, width } = canvas(holder, 300, `Rows by the distance that they moved; half of them moved less than ${text(median)}`);
      const left = 56, right = width - 16, top = 30, bottom = 244, total = counts.reduce((a, b) => a + b, 0);
      const x = linear(0, edges[edges.length - 1], left, right), y = linear(0, Math.max(...counts) / total, bottom, top);
      xAxis(svg, x, nice(0, edges[edges.length - 1], width < 520 ? 3 : 6), top, bottom, "distance moved / typical distance from the mean", left, right);
      yAxis(svg, y, nice(0, Math.max(...counts) / total, 4), left, right, "share of the rows");
      counts.forEach((count, i) => {
        const bar = node("rect", { x: x(edges[i]) + 0.5, y: y(count / total), width: Math.max(1, x(edges[i + 1]) - x(edges[i]) - 1), height: bottom - y(count / total), fill: BLUE, "data-mark": "bar" }, undefined, svg);
        tip(bar, `${text(edges[i])} to ${text(edges[i + 1])}: ${count.toLocaleString("en")} rows`);
      });
      node("line", { x1: x(median), x2: x(median), y1: top - 4, y2: bottom, stroke: INK, "stroke-width": 1.5, "stroke-dasharray": "5 4" }, undefined, svg);
      const end = x(median) > right - 90;
      node("text", { x: x(median) + (end ? -6 : 6), y: top + 6, "font-size": 12, "text-anchor": end ? "end" : "start" }, "median", svg);
    };
    return draw;
  });

  picture("front-figure", (controls, holder) => {
    const { points, x_label, y_label } = content.front;
    const draw = () => {
      const { svg, width } = canvas(holder, 400, `${y_label} against ${x_label} of ${points.length} settings`);
      const left = 56, right = width - 20, top = 30, bottom = 340;
      const pad = (values) => { const low = Math.min(...values), high = Math.max(...values), m = (high - low || 0.1) * 0.12; return [low - m, high + m]; };
      const [x0, x1] = pad(points.flatMap((p) => [p.x - (p.x_err || 0), p.x + (p.x_err || 0)])), [y0, y1] = pad(points.flatMap((p) => [p.y - (p.y_err || 0), p.y + (p.y_err || 0)]));
      const x = linear(x0, x1, left, right), y = linear(y0, y1, bottom, top);
      xAxis(svg, x, nice(x0, x1, width < 520 ? 3 : 6), top, bottom, x_label, left, right);
      yAxis(svg, y, nice(y0, y1, 5), left, right, y_label);
      const line = points.filter((p) => p.front).sort((a, b) => a.x - b.x);
      node("path", { d: line.map((p, i) => `${i ? "L" : "M"}${x(p.x).toFixed(1)} ${y(p.y).toFixed(1)}`).join(""), fill: "none", stroke: SOFT, "stroke-width": 1.5, "stroke-dasharray": "4 4" }, undefined, svg);
      const taken = [];
      // The chosen one is named first: a name that would lie on another is left to the table.
      for (const p of [...points].sort((a, b) => Boolean(b.chosen) - Boolean(a.chosen))) {
        const colour = p.chosen ? RED : p.front ? BLUE : "#8b95a0", group = node("g", { "data-mark": "setting" }, undefined, svg);
        tip(group, `${p.label}: ${x_label} ${text(p.x)}, ${y_label} ${text(p.y)}`);
        if (p.x_err) node("line", { x1: x(p.x - p.x_err), x2: x(p.x + p.x_err), y1: y(p.y), y2: y(p.y), stroke: colour, "stroke-width": 1.3 }, undefined, group);
        if (p.y_err) node("line", { x1: x(p.x), x2: x(p.x), y1: y(p.y - p.y_err), y2: y(p.y + p.y_err), stroke: colour, "stroke-width": 1.3 }, undefined, group);
        group.append(marker(p.chosen ? "diamond" : p.front ? "circle" : "ring", x(p.x), y(p.y), p.chosen ? 8 : 5, colour));
        const free = taken.every(([a, b]) => Math.abs(a - x(p.x)) > 95 || Math.abs(b - y(p.y)) > 15);
        if ((p.front || p.chosen) && free) {
          taken.push([x(p.x), y(p.y)]);
          const end = x(p.x) > right - 110;
          const label = node("text", { x: x(p.x) + (end ? -10 : 10), y: y(p.y) - 9, "font-size": 12, "text-anchor": end ? "end" : "start", "font-weight": p.chosen ? 700 : 400 }, p.chosen ? `${p.label}, chosen` : p.label, group);
          label.style.fill = colour;
        }
      }
    };
    return draw;
  });

  picture("comparison-figure", (controls, holder) => {
    const rows = content.comparison, settings = unique(rows.map((r) => r.setting)), state = { setting: 0 };
    const draw = () => {
      const shown = rows.filter((r) => r.setting === settings[state.setting]).sort((a, b) => b.accuracy - a.accuracy);
      const { svg, width } = canvas(holder, shown.length * 40 + 62, `Accuracy and leakage of ${shown.length} methods, ${settings[state.setting]}`);
      const left = width < 520 ? 104 : 190, right = width - 128, top = 10, bottom = top + shown.length * 40;
      const scale = linear(0, 1, left, right);
      xAxis(svg, scale, width < 520 ? [0, 0.5, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1], top, bottom, "accuracy", left, right);
      shown.forEach((r, i) => {
        const y = top + 8 + i * 40, group = node("g", { "data-mark": "method" }, undefined, svg), colour = r.ours ? BLUE : "#8b95a0";
        tip(group, `${r.method}: accuracy ${r.accuracy.toFixed(3)}, leakage ${text(r.mi)} nats`);
        node("text", { x: left - 10, y: y + 16, "font-size": 13, "text-anchor": "end", "font-weight": r.ours ? 700 : 400 }, short(r.method, left - 10), group);
        node("rect", { x: left, y, width: Math.max(1, scale(r.accuracy) - left), height: 24, fill: colour }, undefined, group);
        if (r.accuracy_std) whisker(group, scale(Math.max(0, r.accuracy - r.accuracy_std)), scale(Math.min(1, r.accuracy + r.accuracy_std)), y + 12, INK);
        node("text", { x: right + 10, y: y + 16, "font-size": 12.5 }, `${r.accuracy.toFixed(3)}${r.mi === undefined || r.mi === null ? "" : `,  ${r.mi.toFixed(2)} nats`}`, group);
      });
    };
    choose(controls, "setting", settings, (i) => { state.setting = i; draw(); });
    return draw;
  });

  let waiting = 0, width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => drawings.forEach((draw) => draw()));
  });
  const copy = document.getElementById("copy");
  if (copy) copy.addEventListener("click", async () => {
    const done = () => { copy.textContent = "Copied"; };
    try { await navigator.clipboard.writeText(document.getElementById("command").textContent); done(); }
    catch { getSelection().selectAllChildren(document.getElementById("command")); copy.textContent = "Selected: press Ctrl+C"; }
  });
  document.documentElement.dataset.drawn = String(drawings.length);
})();
