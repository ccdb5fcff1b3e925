//! The best pairing of rows and columns.

/// Pairs every row with a column of its own so that the sum of values is largest; returns the
/// column of each row.
///
/// The Hungarian method with potentials (Kuhn, 1955, in the form of Jonker and Volgenant, 1987), in
/// `n_rows² n_columns` steps.
///
/// # Shapes
///
/// - `values`: `[n_rows, n_columns]`, finite
///
/// # Panics
///
/// If there are more rows than columns, or not that many values.
pub(super) fn best_assignment(values: &[f64], n_rows: usize, n_columns: usize) -> Vec<usize> {
    assert!(n_rows <= n_columns, "{n_rows} rows for {n_columns} columns");
    assert_eq!(values.len(), n_rows * n_columns, "a value for each pair");
    // Row and column 0 are no real ones: column 0 holds the row that is being placed.
    let (mut row_potential, mut column_potential) =
        (vec![0.0; n_rows + 1], vec![0.0; n_columns + 1]);
    let mut row_of = vec![0; n_columns + 1];
    let mut previous = vec![0; n_columns + 1];
    for row in 1..=n_rows {
        row_of[0] = row;
        let mut slack = vec![f64::INFINITY; n_columns + 1];
        let mut is_visited = vec![false; n_columns + 1];
        let mut column = 0;
        while row_of[column] != 0 {
            is_visited[column] = true;
            let from = row_of[column];
            let (mut smallest, mut next) = (f64::INFINITY, 0);
            for other in (1..=n_columns).filter(|other| !is_visited[*other]) {
                let cost = -values[(from - 1) * n_columns + other - 1];
                let reduced = cost - row_potential[from] - column_potential[other];
                if reduced < slack[other] {
                    (slack[other], previous[other]) = (reduced, column);
                }
                if slack[other] < smallest {
                    (smallest, next) = (slack[other], other);
                }
            }
            for other in 0..=n_columns {
                if is_visited[other] {
                    row_potential[row_of[other]] += smallest;
                    column_potential[other] -= smallest;
                } else {
                    slack[other] -= smallest;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[previous[column]];
            column = previous[column];
        }
    }
    let mut column_of = vec![0; n_rows];
    for (column, row) in row_of.iter().enumerate().skip(1).filter(|(_, row)| **row != 0) {
        column_of[row - 1] = column - 1;
    }
    column_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Largest sum over every way to pair.
    fn best_by_trying(values: &[f64], n_columns: usize, taken: u32) -> f64 {
        if values.is_empty() {
            return 0.0;
        }
        let free = (0..n_columns).filter(|column| taken & (1 << column) == 0);
        let sums = free.map(|column| {
            values[column] + best_by_trying(&values[n_columns..], n_columns, taken | 1 << column)
        });
        sums.fold(f64::NEG_INFINITY, f64::max)
    }

    proptest! {
        #[test]
        fn no_pairing_has_a_larger_sum(
            (n_rows, n_columns, values) in (0..5_usize, 0..3_usize).prop_flat_map(|(rows, more)| {
                let columns = rows + more;
                (Just(rows), Just(columns), prop::collection::vec(-1.0..1.0_f64, rows * columns))
            }),
        ) {
            let found = best_assignment(&values, n_rows, n_columns);
            let mut columns = found.clone();
            columns.sort_unstable();
            columns.dedup();
            prop_assert_eq!(columns.len(), n_rows);
            let sum: f64 =
                found.iter().enumerate().map(|(row, column)| values[row * n_columns + column]).sum();
            prop_assert!((sum - best_by_trying(&values, n_columns, 0)).abs() < 1e-9);
        }
    }
}
