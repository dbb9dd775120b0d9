/**
 * Finds the first character of a label that RFC 5892, Appendix A.3 to A.9, does not allow at its place; undefined when
 * there is none. domainToASCII itself checks joiners (A.1 and A.2) by UTS 46's CheckJoiners.
 *
 * @param label in lower case
 */
export function contextualProblem(label: string): string | undefined {
  if (/(?<!l)\u00B7|\u00B7(?!l)/u.test(label)) return "A middle dot stands between two letters l alone.";
  if (/\u0375(?!\p{Script=Greek})/u.test(label)) return "A keraia stands before a Greek letter alone.";
  if (/(?<!\p{Script=Hebrew})[\u05F3\u05F4]/u.test(label))
    return "A geresh or gershayim stands after a Hebrew letter alone.";
  const hasKana = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;
  if (label.includes("\u30FB") && !hasKana.test(label))
    return "A katakana middle dot stands beside Japanese or Chinese characters alone.";
  if (/[\u0660-\u0669]/u.test(label) && /[\u06F0-\u06F9]/u.test(label))
    return "Arabic-Indic digits of both kinds do not stand in one label.";
  return undefined;
}
