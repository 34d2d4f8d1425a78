; Binary trees: one that lives long, and many that do not. --size is their depth.

(define (make depth)
  (if (= depth 0)
      (cons '() '())
      (let ((left (make (- depth 1))))
        (cons left (make (- depth 1))))))

(define (count tree)
  (if (null? (car tree))
      1
      (+ 1 (count (car tree)) (count (cdr tree)))))

(define long-lived (make size))

(define (part n)
  (let loop ((round 0) (sum 0))
    (if (= round 8)
        sum
        (loop (+ round 1) (+ sum (count (make (- size 2))))))))

(define (finish ignored)
  (display (count long-lived))
  (let loop ((i 0))
    (if (= i parts)
        (newline)
        (begin (display " " (vector-ref results i))
               (loop (+ i 1))))))
