// One figure at a time: the one that is chosen, or that the address names.
(() => {
  const choice = document.getElementById("figure");
  if (!choice) return;
  const sections = [...document.querySelectorAll("section.figure")];
  const show = (name) => {
    choice.value = name;
    sections.forEach((section) => (section.hidden = section.id !== name));
  };
  const named = () => sections.find((section) => `#${section.id}` === location.hash)?.id ?? sections[0].id;
  choice.addEventListener("change", () => {
    history.replaceState(null, "", `#${choice.value}`);
    show(choice.value);
  });
  window.addEventListener("hashchange", () => show(named()));
  choice.parentElement.hidden = false;
  show(named());
})();
