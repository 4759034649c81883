// What is wrong with a page as it stands in its window: each check gives a list, empty if all is well.
({
  box: (one) => one.getBoundingClientRect(),

  meet: (a, b) => a.left + 1 < b.right && b.left + 1 < a.right
    && a.top + 2 < b.bottom && b.top + 2 < a.bottom,

  seen: (one) => !one.closest(".unseen, .skip, script, style")
    && one.checkVisibility({ opacityProperty: true, visibilityProperty: true }),

  // Pieces of text with the element each stands in, and a range over it.
  texts(within) {
    const found = [];
    const walker = document.createTreeWalker(within, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { currentNode: node } = walker;
      const element = node.parentElement;
      if (!node.data.trim() || element.closest("title, desc") || !this.seen(element)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      found.push({ text: node.data.trim(), node, element, range });
    }
    return found;
  },

  // Words of a figure that lie on each other, or on the dot of another model. Each is chosen in turn.
  collisions() {
    const found = [];
    for (const figure of document.querySelectorAll("figure")) {
      figure.parentElement.querySelectorAll(":scope > label > [type=radio]")
        .forEach((radio) => { radio.checked = true; });
      const words = this.texts(figure).flatMap(({ text, element, range }) => {
        const boxes = element.closest("svg") ? [this.box(element)] : range.getClientRects();
        return [...boxes].map((place) => ({ text, element, place }));
      });
      const dots = [...figure.querySelectorAll("circle")].filter(this.seen);
      words.forEach(({ text, element, place }, number) => {
        for (const other of words.slice(number + 1)) {
          if (this.meet(place, other.place)) found.push(`${text} on ${other.text}`);
        }
        for (const dot of dots) {
          const own = dot.parentNode === element.parentNode;
          if (!own && this.meet(place, this.box(dot))) found.push(`${text} on a dot`);
        }
      });
    }
    return found;
  },

  // Numbers that leave the window or a box that hides what leaves it, or go on in the next line.
  // In matrices and lists of runs one may scroll; names and keys may be broken.
  cut() {
    const found = [];
    for (const { node, element, range } of this.texts(document.body)) {
      if (element.closest("code, .name, .model, p, caption, summary, .message")) continue;
      const scrolls = element.closest(".matrix, .runs");
      for (const { 0: number, index } of node.data.matchAll(/\d[\d.,]*/g)) {
        range.setStart(node, index);
        range.setEnd(node, index + number.length);
        const place = element.closest("svg") ? this.box(element) : this.box(range);
        const line = parseFloat(getComputedStyle(element).fontSize) * 2.2;
        let [left, right] = scrolls ? [-Infinity, Infinity] : [0, innerWidth];
        for (let over = element; over && !scrolls; over = over.parentElement) {
          if (over instanceof SVGElement || getComputedStyle(over).overflowX === "visible") continue;
          [left, right] = [Math.max(left, this.box(over).left), Math.min(right, this.box(over).right)];
        }
        const broken = !element.closest("svg") && place.height > line;
        if (broken || place.left < left - 1 || place.right > right + 1) {
          found.push(`${number} in ${element.textContent.trim().slice(0, 60)}`);
        }
      }
    }
    return found;
  },

  // What makes the window or the table scroll sideways.
  sideways() {
    const page = document.documentElement;
    const boxes = [page, ...document.querySelectorAll(".scroll:has(#board, .trials)")];
    const wide = boxes.filter((one) => one.scrollWidth > one.clientWidth + (one === page ? 0 : 1));
    return wide.map((one) => `${one.getAttribute("aria-labelledby")}: ${one.scrollWidth} px`);
  },

  // All words of less than 4.5 to 1 against what is behind them.
  faint() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const paint = (...colours) => {
      canvas.clearRect(0, 0, 1, 1);
      colours.forEach((colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); });
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (colour) => {
      const [r, g, b] = colour.map((one) => {
        const c = one / 255;
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratios = new Map();
    const ratio = (ink, behind) => {
      const key = [ink, ...behind].join();
      if (!ratios.has(key)) {
        const [a, b] = [luminance(paint(...behind, ink)), luminance(paint(...behind))];
        ratios.set(key, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
      }
      return ratios.get(key);
    };
    const backs = (element) => element
      ? [...backs(element.parentElement), getComputedStyle(element).backgroundColor] : [];
    return this.texts(document.body).flatMap(({ text, element }) => {
      const style = getComputedStyle(element);
      const behind = backs(element).filter((colour) => colour !== "rgba(0, 0, 0, 0)");
      const found = ratio(element.closest("svg") ? style.fill : style.color, behind);
      return found < 4.5 ? [`${text}: ${found.toFixed(2)}`] : [];
    });
  },

  // All words that can be seen, but what the page says of itself.
  visible() {
    const found = this.texts(document.body);
    return found.filter(({ element }) => !element.closest("[role=status]")).map(({ text }) => text);
  },

  said: (one) => `${one.tagName} ${one.id || one.textContent.trim().slice(0, 40)}`,

  // Marks where the focus is. What is wrong with showing it there.
  focused() {
    const one = document.activeElement;
    if (one === document.body) return [];
    one.dataset.reached = "";
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    const { left, right, top, bottom } = this.box(one);
    const x = (Math.max(0, left) + Math.min(innerWidth, right)) / 2;
    const y = (Math.max(0, top) + Math.min(innerHeight, bottom)) / 2;
    const over = document.elementFromPoint(x, y);
    const found = [];
    if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) found.push("no outline");
    if (!one.checkVisibility({ opacityProperty: true })) found.push("not to be seen");
    if (!over || !(one.contains(over) || over.contains(one))) found.push("outside or covered");
    return found.map((what) => `${this.said(one)}: ${what}`);
  },

  // Controls that can be seen and had no focus yet; of radio buttons Tab leads to the checked one.
  unreached() {
    const all = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    return [...document.querySelectorAll(all)]
      .filter((one) => one.checkVisibility({ visibilityProperty: true }))
      .filter((one) => !("reached" in one.dataset) && (one.type !== "radio" || one.checked))
      .map(this.said);
  },
})
