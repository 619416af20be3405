// Phases of the moon.
export const phases = ["new", "first quarter", "full", "last quarter"];
