// Elements are made without HTML text: what a server or a model says is never parsed.

/** An element with attributes and children; a child is a node or text. Attributes that are null or false are left out. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const find = (id) => document.getElementById(id);

/** Set the text only if it differs: screen readers announce every change of a live region. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replace the children only if they differ, so that focus, selection and scroll position stay. */
export function replace(element, ...children) {
  const fresh = make("div", {}, ...children);
  const same = element.childNodes.length === fresh.childNodes.length
    && [...element.childNodes].every((child, index) => child.isEqualNode(fresh.childNodes[index]));
  if (!same) element.replaceChildren(...fresh.childNodes);
}
