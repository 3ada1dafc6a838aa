use super::pieces::{Cutter, Pieces};
use super::*;

fn pieces(text: &str, format: RecordFormat, size: usize) -> Vec<(String, u64, u64)> {
    together(text, format, size, 100)
}

fn together(text: &str, format: RecordFormat, size: usize, most: usize) -> Vec<(String, u64, u64)> {
    let mut pieces = Pieces::new(text.as_bytes(), format, size, most);
    std::iter::from_fn(|| pieces.next().unwrap())
        .map(|piece| (String::from_utf8(piece.content.to_vec()).unwrap(), piece.first, piece.shift))
        .collect()
}

#[test]
fn a_file_is_cut_at_the_ends_of_rows_and_lines_are_counted_on() {
    let text = "{1}\n{2}\n\n{3}";
    let all = pieces(text, RecordFormat::Jsonl, 4);
    let expected = [("{1}\n", 1, 0), ("{2}\n", 2, 1), ("\n{3}", 3, 2)];
    assert_eq!(all, expected.map(|(text, first, shift)| (text.to_owned(), first, shift)));
    assert_eq!(pieces(text, RecordFormat::Jsonl, 100), [(text.to_owned(), 1, 0)]);
    assert_eq!(pieces("", RecordFormat::Jsonl, 100), []);
}

#[test]
fn each_piece_of_csv_has_the_header_and_no_quoted_text_is_cut() {
    let text = "subject,reason\na,\"one\ntwo\"\nb,x\nc,\"\"\"\n\"\n";
    let all = pieces(text, RecordFormat::Csv, 16);
    let expected = [
        ("subject,reason\na,\"one\ntwo\"\n", 1, 0),
        ("subject,reason\nb,x\n", 4, 2),
        ("subject,reason\nc,\"\"\"\n\"\n", 5, 3),
    ];
    assert_eq!(all, expected.map(|(text, first, shift)| (text.to_owned(), first, shift)));
    let mut cutter = Cutter::new(RecordFormat::Csv);
    cutter.count(text.as_bytes());
    assert_eq!(cutter.rows(), 3);
}

#[test]
fn rows_that_may_need_each_other_stay_in_one_piece_as_long_as_it_may_grow() {
    let role = |id: &str| format!("{{\"role\":{{\"id\":\"{id}\"}}}}\n");
    let held = |subject: &str, role: &str| {
        format!("{{\"assignment\":{{\"subject\":\"user:{subject}\",\"role\":\"{role}\"}}}}\n")
    };
    let rows =
        [role("a"), role("b"), role("c"), held("x", "a"), held("x", "b"), held("y", "a"), held("z", "a")];
    let cut = |most: usize| {
        let all = together(&rows.concat(), RecordFormat::Jsonl, 1, most);
        assert_eq!(all.iter().map(|(text, ..)| text.as_str()).collect::<String>(), rows.concat());
        for (text, first, shift) in &all {
            let before: u64 =
                rows.concat().split(text).next().unwrap().matches('\n').count().try_into().unwrap();
            assert_eq!((*first, *shift), (before + 1, before));
        }
        all.iter().map(|(text, ..)| text.lines().count()).collect::<Vec<_>>()
    };
    assert_eq!(cut(10_000), [3, 2, 1, 1]);
    assert_eq!(cut(2 * role("a").len()), [2, 1, 1, 1, 1, 1]);
    assert_eq!(cut(1), [1; 7]);
}

#[test]
fn a_report_is_of_the_whole_file() {
    let mut report = Report::default();
    let piece = json!({
        "rows": 2, "written": "1", "unchanged": 0, "refused": 1, "stopped": false,
        "bad": [{"line": 2, "field": "role", "why": "there is no role `x`"}],
    });
    report.add(&piece, 0);
    report.add(&piece, 2);
    let told = "line 2, role: there is no role `x`\nline 4, role: there is no role `x`\n\
                4 rows: 2 written, 0 as they are already, 2 refused\n";
    assert_eq!(report.text(false), told);
    assert_eq!(report.json()["bad"][1]["line"], 4);
    report.add(&json!({"rows": 3, "expired": 3}), 4);
    assert!(
        report
            .text(false)
            .ends_with("7 rows: 2 written, 0 as they are already, 3 passed over as expired, 2 refused\n")
    );
    assert_eq!(report.json()["expired"], 3);
    report.expired = 0;
    report.stopped = true;
    assert!(
        report.text(true).ends_with("2 would be written, 0 as they are already, 2 refused; it ended there\n")
    );
}

#[test]
fn the_format_is_the_one_that_is_asked_for_or_that_the_file_ends_with() {
    for (asked, file, format) in [
        (None, "a.csv", RecordFormat::Csv),
        (None, "a.CSV", RecordFormat::Csv),
        (None, "csv", RecordFormat::Jsonl),
        (Some(RecordFormat::Jsonl), "a.csv", RecordFormat::Jsonl),
    ] {
        assert_eq!(RecordFormat::of(asked, Path::new(file)), format, "{file}");
    }
}
