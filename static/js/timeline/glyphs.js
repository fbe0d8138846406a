// The marks of states on a canvas, with the shapes of the sprite at a size of 12.
const SIZE = 12;
const TURN = Math.PI * 2;
const shapes = new Map();
let inside = "#fff";

/** Takes the colour that shows within filled marks. */
export function setInside(colour) {
  inside = colour;
  shapes.clear();
}

/** Draws the mark of `kind` around (x, y). */
export function drawGlyph(context, kind, colour, x, y) {
  const id = `${kind} ${colour}`;
  if (!shapes.has(id)) shapes.set(id, picture(kind, colour));
  context.drawImage(shapes.get(id), x - SIZE / 2, y - SIZE / 2, SIZE, SIZE);
}

/** The sprite's symbol, drawn once into a small canvas at twice the size. */
function picture(kind, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * 2;
  const context = canvas.getContext("2d");
  context.scale((SIZE * 2) / 14, (SIZE * 2) / 14);
  const symbol = document.getElementById(`g-${kind}`) ?? document.getElementById("g-pending");
  for (const shape of symbol.children) drawShape(context, shape, colour);
  return canvas;
}

function drawShape(context, shape, colour) {
  const path = pathOf(shape);
  const fill = shape.getAttribute("fill");
  const stroke = shape.getAttribute("stroke");
  context.lineWidth = Number(shape.getAttribute("stroke-width") ?? 1);
  context.lineCap = shape.getAttribute("stroke-linecap") ?? "butt";
  context.lineJoin = shape.getAttribute("stroke-linejoin") ?? "miter";
  context.setLineDash((shape.getAttribute("stroke-dasharray") ?? "").split(" ").filter(Boolean).map(Number));
  if (fill === "currentColor") {
    context.fillStyle = colour;
    context.fill(path);
  }
  if (stroke) {
    context.strokeStyle = stroke === "currentColor" ? colour : inside;
    context.stroke(path);
  }
}

function pathOf(shape) {
  const number = (name) => Number(shape.getAttribute(name) ?? 0);
  if (shape.tagName === "path") return new Path2D(shape.getAttribute("d"));
  const path = new Path2D();
  if (shape.tagName === "circle") path.arc(number("cx"), number("cy"), number("r"), 0, TURN);
  else path.roundRect(number("x"), number("y"), number("width"), number("height"), number("rx"));
  return path;
}
