document.querySelectorAll("table.sortable th button").forEach((button) => {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const column = heading.cellIndex;
    const ascending = heading.getAttribute("aria-sort") !== "ascending";
    heading.parentElement.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = heading.closest("table").tBodies[0];
    const order = (row) => row.cells[column].dataset.order;
    const compare = (a, b) => {
      const [left, right] = [order(a), order(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      const difference = heading.classList.contains("number") ? left - right : left.localeCompare(right);
      return ascending ? difference : -difference;
    };
    Array.from(body.rows).sort(compare).forEach((row) => body.append(row));
  });
});
