/// The candidate that `name` is most likely a slip of, or nil if none is near.
///
/// Near means: a third of the letters, and at least one, may be wrong, missing, too many or swapped with their
/// neighbour, so that `prot` finds `port`. The beginning of a name is near it, too.
func nearestName(to name: String, among candidates: [String]) -> String? {
    let letters = Array(name.lowercased().unicodeScalars)
    // What is far longer than every known name is no slip, and would cost time quadratic in its length.
    guard letters.count <= 64 else { return nil }
    if letters.count >= 3, let whole = candidates.first(where: { $0.hasPrefix(name.lowercased()) }) { return whole }
    let nearest = candidates.map { ($0, editDistance(letters, Array($0.unicodeScalars))) }.min { $0.1 < $1.1 }
    guard let nearest, nearest.1 <= max(1, nearest.0.count / 3), nearest.1 < letters.count else { return nil }
    return nearest.0
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
private func editDistance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (row, letter) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            var cost = min(current[column], last[column + 1]) + 1
            cost = min(cost, last[column] + (letter == other ? 0 : 1))
            if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        beforeLast = last
        last = current
    }
    return last[right.count]
}
