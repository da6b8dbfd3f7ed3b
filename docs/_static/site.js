// A click on a heading of a table of class "sortable" sorts by that column, a second one turns it.
for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  table.querySelectorAll('thead th').forEach((heading, column) => {
    const button = document.createElement('button');
    button.append(...heading.querySelectorAll('p'));
    heading.append(button);
    button.addEventListener('click', () => {
      const up = heading.getAttribute('aria-sort') !== 'ascending';
      table.querySelectorAll('th').forEach((other) => other.removeAttribute('aria-sort'));
      heading.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const text = (row) => row.cells[column].textContent.trim();
      // Rows without a value come last, whichever way.
      const compare = (a, b) => !text(a) - !text(b)
        || (up ? 1 : -1) * text(a).localeCompare(text(b), 'en', { numeric: true });
      body.append(...[...body.rows].sort(compare));
    });
  });
}

// What scrolls sideways can be reached by the keyboard.
for (const box of document.querySelectorAll('.highlight pre, .table-wrapper, div.math')) {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
}
