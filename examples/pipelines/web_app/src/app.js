// Where a visitor begins.
export function start(root) {
  root.textContent = "Good evening";
}
