; Counts the words of the files that are its arguments, --size times over. Each
; part counts every fourth line, in a table of its own.

(define (count-words words table)
  (if (pair? words)
      (begin
        (table-set! table (car words) (+ 1 (table-ref table (car words) 0)))
        (count-words (cdr words) table))))

(define (count-lines file number n table)
  (let ((line (read-line file)))
    (if (not (eof? line))
        (begin
          (if (= n (modulo number parts))
              (count-words (words line) table))
          (count-lines file (+ number 1) n table)))))

(define (count-files names n table)
  (if (pair? names)
      (let ((file (open-input (car names))))
        (count-lines file 0 n table)
        (close-input file)
        (count-files (cdr names) n table))))

(define (part n)
  (let ((table (make-table)))
    (let loop ((i 0))
      (if (< i size)
          (begin (count-files args n table)
                 (loop (+ i 1)))
          table))))

(define (add entries table)
  (if (pair? entries)
      (let ((word (car (car entries))))
        (table-set! table word (+ (cdr (car entries)) (table-ref table word 0)))
        (add (cdr entries) table))))

(define (before? a b)
  (or (> (cdr a) (cdr b))
      (and (= (cdr a) (cdr b))
           (string<? (car a) (car b)))))

; The first of entries that comes after last.
(define (next entries last)
  (let loop ((rest entries) (best #f))
    (cond ((null? rest) best)
          ((and (or (not last) (before? last (car rest)))
                (or (not best) (before? (car rest) best)))
           (loop (cdr rest) (car rest)))
          (else (loop (cdr rest) best)))))

(define (finish ignored)
  (let ((table (make-table)))
    (let loop ((i 0))
      (if (< i parts)
          (begin (add (table->list (vector-ref results i)) table)
                 (loop (+ i 1)))))
    (let ((entries (table->list table)))
      (display (table-count table) " words:")
      (let loop ((i 0) (last (next entries #f)))
        (if (and (< i 5) last)
            (begin (display " " (car last) " " (cdr last))
                   (loop (+ i 1) (next entries last)))))
      (newline))))
